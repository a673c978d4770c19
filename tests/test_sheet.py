"""Contact sheets."""

import numpy as np
import pytest

from nstlib import InputError
from nstlib.sheet import GAP, contact_sheet

RED, BLUE = (
    np.zeros((40, 60, 3), np.uint8) + np.uint8([255, 0, 0]),
    np.zeros((60, 30, 3), np.uint8) + np.uint8([0, 0, 255]),
)


def test_pictures_stand_where_they_belong():
    sheet = np.asarray(contact_sheet([[RED, BLUE], [None, RED]], side=100))
    assert sheet.shape == (60 + GAP + 40, 60 + GAP + 60, 3)
    assert (sheet[:40, :60] == [255, 0, 0]).all()
    assert (sheet[:60, 60 + GAP : 90 + GAP] == [0, 0, 255]).all()
    assert (sheet[:, 60 : 60 + GAP] == 255).all()
    assert (sheet[60 + GAP :, :60] == 255).all()


def test_large_pictures_are_fitted_and_small_ones_kept():
    assert contact_sheet([[RED]], side=30).size == (30, 20)
    assert contact_sheet([[RED]], side=500).size == (60, 40)


def test_titles_never_touch_what_stands_beside_them():
    plain = contact_sheet([[RED, RED, RED]], side=60)
    titled = np.asarray(
        contact_sheet([[RED] * 3], ["a very long title of many words", "Unbreakablelongword", "x"], side=60)
    )
    top = titled.shape[0] - plain.height
    assert top > 3 * 14
    columns = [slice(n * (60 + GAP), n * (60 + GAP) + 60) for n in range(3)]
    between = np.ones(titled.shape[1], bool)
    for column in columns:
        between[column] = False
        assert (titled[:top, column] < 128).any()
    assert (titled[:, between] == 255).all()
    assert (titled[top - GAP // 2 : top] == 255).all()


def test_labels_stand_left_of_their_rows():
    sheet = np.asarray(contact_sheet([[RED], [RED]], labels=["first", "second"], side=60))
    left = sheet.shape[1] - 60
    assert (sheet[:, left:] == contact_sheet([[RED], [RED]], side=60)).all()
    assert (sheet[:40, :left] < 128).any()
    assert (sheet[40 + GAP :, :left] < 128).any()
    assert (sheet[:, left - GAP : left] == 255).all()


def test_what_makes_no_sheet():
    for rows in ([], [[]], [[RED], [RED, BLUE]]):
        with pytest.raises(InputError, match="expected rows of one length"):
            contact_sheet(rows)
    with pytest.raises(InputError, match="expected 1 titles or none, received 2"):
        contact_sheet([[RED]], ["a", "b"])
    with pytest.raises(InputError, match="expected 1 labels or none, received 3"):
        contact_sheet([[RED]], labels="abc")
