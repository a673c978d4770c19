"""Contact sheets: labelled pictures side by side."""

from PIL import Image, ImageDraw, ImageFont

from .checks import whole
from .errors import InputError
from .images import load_image, to_pil

GAP = 8  # pixels
TEXT = 14  # height of the letters, pixels


def contact_sheet(rows, titles=(), labels=(), side=256):
    """Pictures in rows and columns, on white.

    Args:
        rows: sequence of rows; a row is a sequence of pictures, whatever :func:`~nstlib.load_image` takes, or None for
            an empty place.
        titles: of the columns, or none.
        labels: of the rows, or none.
        side: longest side of a picture on the sheet, in pixels; smaller ones keep their size.

    Returns:
        An RGB :class:`PIL.Image.Image`.

    Raises:
        InputError: no pictures, rows of different lengths, or another number of titles or labels.

    Example:
        >>> contact_sheet([["sample:chelsea", "sample:coffee"]], ["cat", "cup"], side=100).size
        (208, 89)
    """
    rows, side = [list(row) for row in rows], whole("side", side)
    columns = len(rows[0]) if rows else 0
    if not columns or any(len(row) != columns for row in rows):
        raise InputError(f"expected rows of one length, received {[len(row) for row in rows]}: fill up with None")
    for name, texts, count in (("titles", titles, columns), ("labels", labels, len(rows))):
        if len(texts) not in (0, count):
            raise InputError(f"expected {count} {name} or none, received {len(texts)}")
    pictures = [[None if picture is None else _small(picture, side) for picture in row] for row in rows]
    widths = [max((row[n].width for row in pictures if row[n]), default=side) for n in range(columns)]
    heights = [max((picture.height for picture in row if picture), default=side) for row in pictures]
    titles = [_text(title, width) for title, width in zip(titles, widths, strict=False)]
    labels = [_text(label, side // 2) for label in labels]
    lefts = _places(max((label.width + GAP for label in labels), default=0), widths)
    tops = _places(max((title.height + GAP // 2 for title in titles), default=0), heights)
    sheet = Image.new("RGB", (lefts[-1] - GAP, tops[-1] - GAP), "white")
    for title, left in zip(titles, lefts, strict=False):
        sheet.paste(title, (left, 0))
    for label, top in zip(labels, tops, strict=False):
        sheet.paste(label, (0, top))
    for row, top in zip(pictures, tops, strict=False):
        for picture, left in zip(row, lefts, strict=False):
            if picture:
                sheet.paste(picture, (left, top))
    return sheet


def _small(picture, side):
    picture = to_pil(load_image(picture))
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _places(start, lengths):
    """Where things of these lengths begin, with gaps between them, and where a next one would."""
    places = [start]
    for length in lengths:
        places.append(places[-1] + length + GAP)
    return places


def _text(text, width):
    """The text as a picture, broken into lines no wider than ``width``."""
    font = ImageFont.load_default(TEXT)
    lines = [""]
    for word in str(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    # A word that is wider than its column is written smaller.
    widest = max(font.getlength(line) for line in lines)
    if widest > width:
        font = ImageFont.load_default(max(6, int(TEXT * width / widest)))
    height = round(font.size * 1.3)
    picture = Image.new("RGB", (width, height * len(lines)), "white")
    for number, line in enumerate(lines):
        ImageDraw.Draw(picture).text((0, number * height), line, fill="black", font=font)
    return picture
