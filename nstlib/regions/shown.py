"""Regions seen over the photograph."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import find_boundaries

from ..errors import InputError
from ..images import load_image


def show(photo, masks, protected=None):
    """The photograph with each mask in a colour of its own, :func:`color_of` its number, as a PIL image.

    Args:
        photo: whatever :func:`~nstlib.load_image` takes.
        masks: arrays (H, W) in [0, 1], of the photograph's size: a list, or ``{name: mask}`` with names to write there.
        protected: a mask likewise, to draw a white line around; or None.

    Raises:
        InputError: masks of another size.
    """
    picture = load_image(photo)[0].permute(1, 2, 0).numpy()
    names = list(masks) if isinstance(masks, dict) else []
    masks = [_checked(mask, picture) for mask in (masks.values() if names else masks)]
    tinted = 0.35 * picture
    grey = picture.mean(-1, keepdims=True)
    left = np.ones_like(grey)
    for number, mask in enumerate(masks):
        tinted = tinted + 0.65 * mask[..., None] * np.array(color_of(number)) * (0.35 + 0.65 * grey)
        left = left - mask[..., None]
    tinted = (tinted + 0.65 * left.clip(0, 1) * picture).clip(0, 1)
    if protected is not None:
        tinted[find_boundaries(_checked(protected, picture) > 0.5)] = 1
    shown = Image.fromarray(np.uint8(np.round(255 * tinted)))
    draw, font = ImageDraw.Draw(shown), ImageFont.load_default(max(shown.size) // 20)
    for name, mask in zip(names, masks, strict=False):
        depth = distance_transform_edt(np.pad(mask > 0.5, 1))
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        draw.text((x, y), f"{name}", "white", font, "mm", stroke_width=2, stroke_fill="black")
    return shown


def color_of(number):
    """The colour in which :func:`show` draws the mask of this number: red, green and blue in [0, 1]."""
    # Hues a golden angle apart are far from each other, however many there are.
    return colorsys.hsv_to_rgb((0.6 + 0.618034 * number) % 1, 0.75, 1.0)


def _checked(mask, picture):
    mask = np.asarray(mask, np.float32)
    if mask.shape != picture.shape[:2]:
        raise InputError(f"masks must be of shape {picture.shape[:2]}, as the photograph, received {mask.shape}")
    return mask
