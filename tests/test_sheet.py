"""Contact sheets: what is where, and that texts keep to their places."""

import numpy as np
import pytest
import torch
from PIL import Image

from nstlib import InputError
from nstlib.sheet import contact_sheet

RED, BLUE = (255, 0, 0), (0, 0, 255)


def plain(colour, width=40, height=20):
    return Image.new("RGB", (width, height), colour)


def square(colour):
    return plain(colour, 40, 40)


def ink(sheet):
    """Columns and rows that are not all white."""
    dark = (np.array(sheet) < 128).any(2)
    return dark.any(0), dark.any(1)


def test_pictures_fill_their_cells_and_stand_in_the_middle():
    sheet = np.array(contact_sheet([[plain(RED), plain(BLUE, 20, 40)]], side=64))
    assert sheet.shape == (64 + 8, 2 * 64 + 12, 3)
    for colour, rows, columns in ((RED, slice(20, 52), slice(4, 68)), (BLUE, slice(4, 68), slice(88, 120))):
        expected = np.zeros(sheet.shape[:2], bool)
        expected[rows, columns] = True
        assert ((sheet == colour).all(2) == expected).all()


def test_a_row_is_as_high_as_its_tallest_picture_or_label():
    rows = [[plain(RED), plain(RED)], [plain(BLUE), plain(BLUE, 20, 40)]]
    assert contact_sheet(rows, side=64).size == (2 * 64 + 12, 32 + 64 + 12)
    label = "a label of many words that is broken into lines and so is higher than its row"
    low = contact_sheet([[plain(RED, 40, 2)]], labels=[label], side=64)
    drawn = np.flatnonzero(ink(low)[1])
    assert low.height > drawn[-1] - drawn[0] + 8 > 16


def test_any_picture_will_do():
    pictures = [plain(RED, 32, 32), np.array(plain(RED, 8, 8)), torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)]
    sheet = np.array(contact_sheet([pictures, pictures], side=32))
    assert (sheet == RED).all(2).sum() == 6 * 32 * 32


@pytest.mark.parametrize("title", ["beta = 1000: content 0.87, style 0.003", "wwwwwwwwww" * 5, "a\nb c\n\nd", ""])
def test_titles_stay_above_their_columns(title):
    """Every other title is empty; so nothing may be drawn above those columns, nor in the gaps."""
    titles = [title, "", title]
    sheet = contact_sheet([[square("white")] * 3], titles=titles, side=128)
    dark = ink(sheet)[0]
    cells = [slice(8 + n * 136, 136 + n * 136) for n in range(3)]
    assert dark[cells[0]].any() == bool(title)
    for cell in (cells[0], cells[2]):
        dark[cell] = False
    assert not dark.any()
    assert not ink(sheet)[1][-128 - 8 :].any()  # nor over the pictures


def test_labels_stand_left_of_their_rows():
    rows = [[square("white")], [square("white")]]
    sheet = contact_sheet(rows, labels=["the photograph that is painted", ""], side=128)
    columns, rows = ink(sheet)
    assert columns[: -128 - 16].any()
    assert not columns[-128 - 16 :].any()
    assert rows[8:136].any()
    assert not rows[136:].any()


def test_sheets_that_cannot_be():
    red = plain(RED)
    for rows in ([], [[]], [[red], [red, red]]):
        with pytest.raises(InputError, match="expected rows of equally many pictures"):
            contact_sheet(rows)
    with pytest.raises(InputError, match="expected 2 titles or none, received 1"):
        contact_sheet([[red, red]], titles=["one"])
    with pytest.raises(InputError, match="expected 1 labels or none, received 2"):
        contact_sheet([[red, red]], labels=["one", "two"])
    with pytest.raises(InputError, match="side must be a whole number of at least 16"):
        contact_sheet([[red]], side=4)
