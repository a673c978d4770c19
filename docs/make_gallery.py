"""Makes the pictures of the gallery and the strip of the README, in hours on a CPU: ``python docs/make_gallery.py``."""

from pathlib import Path

from PIL import Image, ImageOps

import nstlib

FOLDER = Path(__file__).parent
SETTINGS = {"size": 1024, "backbone": "vgg19", "iterations": 120}
PICTURES = {
    ("chelsea", "starry_night"): {},
    ("astronaut", "scream"): {},
    ("coffee", "great_wave"): {},
    ("rocket", "starry_night"): {},
    ("chelsea", "scream"): {},
    ("coffee", "starry_night"): {},
}
HEIGHT = 200  # of the strip, in pixels

HEAD = """\
# Gallery

Each picture with the line of code that made it: the network of the paper, defaults but for fewer iterations, about 20
minutes on one core of a CPU with AVX2, in float32. `python docs/make_gallery.py` makes them all. Photographs and
paintings are [in the public domain](../nstlib/samples/README.md) or CC0. All but the rocket and the cat in the style of
the *Starry Night* were painted before there was a [margin](benchmarks.md#the-margin).
"""


def main():
    (FOLDER / "gallery").mkdir(exist_ok=True)
    text, strip = [HEAD], []
    for (photograph, painting), options in PICTURES.items():
        given = {**SETTINGS, **options}
        keywords = ", ".join(f"{name}={value!r}" for name, value in given.items()).replace("'", '"')
        line = f'nstlib.stylize("sample:{photograph}", "sample:{painting}", {keywords})'
        file = FOLDER / "gallery" / f"{photograph}--{painting}.jpg"
        if not file.exists():
            nstlib.stylize(f"sample:{photograph}", f"sample:{painting}", **given).save(file, quality=74, optimize=True)
        text.append(f"```python\n{line}\n```\n\n![{photograph}, {painting}](gallery/{file.name})\n")
        with Image.open(file) as picture:
            strip.append(ImageOps.fit(picture, (HEIGHT, HEIGHT), Image.Resampling.LANCZOS))
    (FOLDER / "gallery.md").write_text("\n".join(text))
    whole = Image.new("RGB", ((HEIGHT + 4) * len(strip) - 4, HEIGHT), "white")
    for place, picture in enumerate(strip):
        whole.paste(picture, ((HEIGHT + 4) * place, 0))
    whole.save(FOLDER / "strip.jpg", quality=90)


if __name__ == "__main__":
    main()
