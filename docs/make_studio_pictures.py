"""Makes the pictures that the studio ships: thumbnails of the samples, and the painting that it opens with.

    python docs/make_studio_pictures.py PAINTING

``PAINTING`` is the sample chelsea in the manner of the sample starry_night, saved by nstlib with its settings.
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps

from nstlib import load_image, read_settings, samples, save_image
from nstlib.images import fit_size, resize, to_pil
from nstlib.widgets.drawing import THUMBNAIL

FOLDER = Path(__file__).parents[1] / "nstlib" / "widgets"


def main(painting):
    sheet = Image.new("RGB", (THUMBNAIL * len(samples.CONTENTS + samples.STYLES), THUMBNAIL))
    for place, name in enumerate(samples.CONTENTS + samples.STYLES):
        picture = to_pil(load_image(f"sample:{name}"))
        square = ImageOps.fit(picture, (THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        sheet.paste(square, (place * THUMBNAIL, 0))
    sheet.save(FOLDER / "samples.jpg", quality=85)
    image = load_image(painting)
    small = resize(image, fit_size(*image.shape[2:], 576))
    settings = read_settings(painting) or {}
    save_image(small, FOLDER / "first.jpg", settings=settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
