"""Pictures side by side on one sheet, with titles and labels."""

from PIL import Image, ImageDraw, ImageFont

from .checks import whole
from .errors import InputError
from .images import fit_size, load_image, resize, to_pil


def contact_sheet(rows, titles=(), labels=(), side=256):
    """Rows of pictures on white, with a title over each column and a label left of each row.

    Args:
        rows: sequence of rows, each a sequence of pictures: whatever :func:`~nstlib.images.load_image` takes. All rows
            have the same number. Each is enlarged or reduced until its longer side is ``side``; a row is as high as the
            tallest of its pictures.
        titles: one text a column, or none. They are broken into lines where they are wider than the column.
        labels: one text a row, or none.
        side: width of the columns in pixels.

    Returns:
        A PIL image.

    Raises:
        InputError: no pictures, rows of different lengths, or not one title a column and one label a row.

    Example:
        >>> contact_sheet([["sample:chelsea", "sample:swirls"]]).size
        (560, 288)
    """
    side, rows = whole("side", side, 16), [list(row) for row in rows]
    counts = {len(row) for row in rows}
    if len(counts) != 1 or counts == {0}:
        raise InputError(f"expected rows of equally many pictures, received {[len(row) for row in rows]}")
    (columns,) = counts
    for what, texts, wanted in (("titles", titles, columns), ("labels", labels, len(rows))):
        if len(texts) not in (0, wanted):
            raise InputError(f"expected {wanted} {what} or none, received {len(texts)}")
    gap, font = side // 16, ImageFont.load_default(side / 18)
    titles = [_wrapped(text, font, side) for text in titles]
    labels = [_wrapped(text, font, side) for text in labels]
    left, top = _extent(labels, font, gap)[0], _extent(titles, font, gap)[1]
    rows = [[load_image(source) for source in row] for row in rows]
    sizes = [[fit_size(*picture.shape[2:], side) for picture in row] for row in rows]
    heights = [max(_extent(labels, font, 0)[1], *(height for height, _ in row)) for row in sizes]
    starts = [top + gap + sum(heights[:row]) + row * gap for row in range(len(rows))]
    size = left + columns * (side + gap) + gap, starts[-1] + heights[-1] + gap
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        middle = left + gap + column * (side + gap) + side / 2
        pen.multiline_text((middle, top), title, "black", font, anchor="md", align="center")
    for row, label in enumerate(labels):
        middle = starts[row] + heights[row] / 2
        pen.multiline_text((left, middle), label, "black", font, anchor="rm", align="right")
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            height, width = sizes[row][column]
            x = left + gap + column * (side + gap) + (side - width) // 2
            y = starts[row] + (heights[row] - height) // 2
            sheet.paste(to_pil(resize(picture, (height, width))), (x, y))
    return sheet


def _extent(texts, font, gap):
    """(width, height) in pixels of the strip that holds any of the texts, with a gap before it; 0 for none."""
    if not texts:
        return 0, 0
    boxes = [ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font) for text in texts]
    return tuple(gap + round(max(box[axis] for box in boxes)) for axis in (2, 3))


def _wrapped(text, font, width):
    """The text in lines no wider than ``width`` pixels: broken between words, and within those that are wider."""
    lines = []
    for paragraph in str(text).splitlines():
        line = ""
        for word in paragraph.split():
            if line and font.getlength(f"{line} {word}") <= width:
                line = f"{line} {word}"
                continue
            if line:
                lines.append(line)
            while font.getlength(word) > width:
                fits = next(n for n in range(len(word) - 1, 0, -1) if font.getlength(word[:n]) <= width)
                lines.append(word[:fits])
                word = word[fits:]
            line = word
        lines.append(line)
    return "\n".join(lines)
