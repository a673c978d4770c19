"""Makes the small pictures of the README's table, in some minutes: ``python docs/make_readme_pictures.py``."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from nstlib import Backbone, Style, load_backbone, load_image, regions, samples, stylize
from nstlib.features import ARCHITECTURES
from nstlib.images import resize_straight, to_pil
from nstlib.networks.upscale import upscale

FOLDER = Path(__file__).parent / "rows"
SIDE = 150
CAT = {"size": 288, "iterations": 150, "backbone": "compact", "progress": False}


def save(name, pictures):
    """Squares from the middle of some pictures, side by side."""
    row = Image.new("RGB", ((SIDE + 4) * len(pictures) - 4, SIDE), "white")
    for place, picture in enumerate(pictures):
        square = ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
        row.paste(square, ((SIDE + 4) * place, 0))
    row.save(FOLDER / f"{name}.jpg", quality=88)


def features():
    """Two layers of the network's features, one grey level a position."""
    maps = load_backbone("compact")(load_image("sample:chelsea"), ("relu2_1", "relu4_1"))
    for found in maps.values():
        strength = found[0].abs().mean(0)
        yield to_pil((strength / torch.quantile(strength, 0.99)).clamp(0, 1).expand(1, 3, *strength.shape))


def enlarged():
    """A part of a photograph, shrunk to a third and enlarged again by a plain filter and by the network."""
    photograph = samples.content("astronaut").crop((150, 30, 300, 180))
    small = to_pil(*resize_straight(load_image(photograph), None, (50, 50)))
    return small.resize((150, 150), Image.Resampling.BICUBIC), upscale(small, 3), photograph


def face_of(astronaut):
    """A mask of her face, grown from scribbles."""
    labels = np.zeros((astronaut.height, astronaut.width), int)
    labels[80:144, 225] = 1
    labels[:, [2, -3]] = labels[[2, -3]] = labels[256:, 225:226] = 2
    return regions.scribbles(astronaut, labels)[0]


def face_of_the_cat(height, width):
    """A mask that is white at its face and fades to black around it."""
    y, x = np.mgrid[:height, :width] / width
    return np.exp(-(((x - 0.5) / 0.3) ** 2) - ((y - 0.36) / 0.28) ** 2)


def main():
    FOLDER.mkdir(exist_ok=True)
    photograph, painting = "sample:chelsea", "sample:starry_night"
    painted = stylize(photograph, painting, **CAT)
    save("00", [samples.content("chelsea"), samples.style("starry_night"), painted])
    save("01", [samples.content("chelsea"), *features()])
    save("02", [stylize(photograph, "sample:scream", style_strength=strength, **CAT) for strength in (0.05, 0.5, 0.95)])
    colors = ("style", "symmetric", "luminance")
    save("03", [stylize("sample:coffee", painting, color=color, **CAT) for color in colors])
    whole = stylize("sample:coffee", "sample:great_wave", **{**CAT, "size": 960, "iterations": 100})
    middle = whole.width // 2, whole.height // 2
    parts = [whole.crop((x - reach, y - reach, x + reach, y + reach)) for reach in (300, 120, 50) for x, y in [middle]]
    save("04", parts)
    random = Backbone.random(ARCHITECTURES["compact"], deepest="relu5_1")
    with Image.open(FOLDER.parents[1] / "nstlib" / "widgets" / "first.jpg") as by_vgg19:
        save("05", [stylize(photograph, painting, **{**CAT, "backbone": random}), painted, by_vgg19])
    save("06", enlarged())
    rocket, astronaut = samples.content("rocket"), samples.content("astronaut")
    sky, ground = regions.segments(rocket, 2)
    styles = [Style(painting, where=sky), Style("sample:scream", where=ground)]
    large = {**CAT, "size": 400}
    kept = stylize(astronaut, painting, protect=face_of(astronaut), **large)
    save("07", [regions.show(rocket, [sky, ground]), stylize(rocket, styles, **large), kept])
    brushes = 0.5, 3, (3, 0.4, face_of_the_cat)
    save("08", [stylize(photograph, Style(painting, brush=brush), **large) for brush in brushes])
    along = [stylize("sample:coffee", "sample:swirls", direction=strength, **large) for strength in (0, 1)]
    save("direction", [samples.content("coffee"), *along])
    grain, motifs = Style("sample:embers", layers="fine"), Style(painting, layers="coarse")
    save("texture", [stylize(photograph, style, **large) for style in (grain.picture, painting, [grain, motifs])])


if __name__ == "__main__":
    main()
