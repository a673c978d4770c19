"""From the values in a file to sRGB: range, transparency, colour profile, orientation, the same for all formats."""

import dataclasses
import io
import warnings

import numpy as np
from PIL import Image, ImageCms

from ..errors import InputError

_TURNS = {
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: np.rot90(array, -1),
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: np.rot90(array),
}
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_SPACES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}  # colour space of a profile -> Pillow's mode
_SAME = 2  # levels of 255; profiles of sRGB differ by as much, as programs round them differently


@dataclasses.dataclass
class Pixels:
    """A picture as its file stores it."""

    colours: np.ndarray  #: (H, W, C), grey, RGB or CMYK (1, 3 or 4 channels), uint8, uint16 or floats in [0, 1]
    alpha: np.ndarray | None = None  #: (H, W), likewise
    premultiplied: bool = False  #: whether the colours are multiplied by alpha
    profile: bytes | None = None  #: ICC profile of the colours
    gamma: float | None = None  #: exponent with which light was encoded, where there is no profile
    orientation: int = 1  #: as in EXIF


def straight_srgb(pixels, name):
    """Convert a picture to sRGB, upright.

    A colour profile is applied in 8 bits, the precision of Pillow's colour engine; sRGB keeps all its bits.

    Args:
        pixels: :class:`Pixels`.
        name: what messages call the picture.

    Returns:
        ``(colours, alpha)``, float32 in [0, 1]: straight colours (H, W, 3), and alpha (H, W) or None.
    """
    colours = to_unit(pixels.colours)
    alpha = None if pixels.alpha is None else to_unit(pixels.alpha)
    if pixels.premultiplied:
        colours = (colours / np.maximum(alpha, 1e-6)[..., None]).clip(0, 1)
    if pixels.profile:
        colours = _from_profile(colours, pixels.profile, name)
    elif pixels.gamma and 0.1 < pixels.gamma < 10 and abs(pixels.gamma * 2.2 - 1) > 0.05:
        colours = colours ** np.float32(1 / 2.2 / pixels.gamma)
    if colours.shape[2] == 4:  # CMYK without a profile
        colours = (1 - colours[..., :3]) * (1 - colours[..., 3:])
    colours = np.broadcast_to(colours, (*colours.shape[:2], 3))
    turn = _TURNS.get(pixels.orientation, lambda array: array)
    return turn(colours), None if alpha is None else turn(alpha)


def check_size(width, height, name, max_pixels):
    """Raise :class:`InputError` for a picture without pixels, or with more than ``max_pixels`` (None: no limit)."""
    if not width or not height:
        raise InputError(f"{name} has no pixels ({width} x {height})")
    if max_pixels is not None and width * height > max_pixels:
        raise InputError(
            f"{name} has {width} x {height} pixels, more than the limit of {max_pixels:,}; "
            "shrink it, or raise the limit (max_pixels= or --max-pixels) if you trust it"
        )


def from_array(array):
    """Colours (H, W, 3) and alpha (H, W) or None, float32 in [0, 1], from anything that NumPy can convert to an array.

    Args:
        array: (H, W) or (H, W, C) with C = 1, 3 or 4, or a batch of one of these; a type that :func:`to_unit` takes.

    Raises:
        InputError: another shape or type, or masked values.
    """
    if np.ma.is_masked(array):
        raise InputError(f"the array has {np.ma.count_masked(array)} masked values: fill or crop them first")
    array = np.asarray(array)
    shape = array.shape
    if array.ndim == 4 and shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in shape:
        raise InputError(f"expected an array of shape (H, W), (H, W, 3) or (H, W, 4), received {shape}")
    unit = to_unit(array)
    if unit.shape[2] == 4:
        return unit[..., :3], unit[..., 3]
    return np.broadcast_to(unit, (*unit.shape[:2], 3)), None


def to_unit(array):
    """An array as float32 in [0, 1]. Its type gives its range: bool, uint8, uint16 (any byte order) or floats.

    Raises:
        InputError: another type, NaN or infinity, or floats outside [0, 1].
    """
    kind = (array.dtype.kind, array.dtype.itemsize)
    if kind in (("u", 1), ("u", 2)):
        return array.astype(np.float32) / np.iinfo(array.dtype).max
    if array.dtype.kind == "b":
        return array.astype(np.float32)
    if array.dtype.kind in "iu":
        raise InputError(
            f"expected uint8, uint16 or floats in [0, 1], received {array.dtype} with values from {array.min()} to "
            f"{array.max()}; scale them to [0, 1] or convert to uint8 first"
        )
    if array.dtype.kind != "f":
        raise InputError(f"expected uint8, uint16 or floats in [0, 1], received {array.dtype}")
    bad = ~np.isfinite(array)
    if bad.any():
        row, column = np.argwhere(bad)[0][:2]
        raise InputError(
            f"the picture has {int(bad.sum())} values that are NaN or infinite, the first at row {row}, column {column}"
        )
    low, high = float(array.min()), float(array.max())
    if low < -1e-3 or high > 1 + 1e-3:
        raise InputError(f"floats must lie in [0, 1], received {low:g} to {high:g}; divide by 255 or convert to uint8")
    return array.astype(np.float32).clip(0, 1)


def _from_profile(colours, profile, name):
    """Colours converted from a profile to sRGB; unchanged, with a warning, if the profile cannot be applied."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _SPACES.get(source.profile.xcolor_space.strip())
        if mode == "RGB" and colours.shape[2] == 1:  # converted to grey with its RGB profile kept
            colours = colours.repeat(3, axis=2)
        if mode != _MODES[colours.shape[2]]:
            kind = source.profile.xcolor_space.strip()
            warnings.warn(f"the {kind} colour profile of {name} does not fit it and was not applied", stacklevel=4)
            return colours
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode != "CMYK" and _changes_nothing(transform, mode):
            return colours
        return to_unit(np.asarray(ImageCms.applyTransform(_to_pil(colours), transform)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        warnings.warn(f"the colour profile of {name} is broken and was not applied: colours may be off", stacklevel=4)
        return colours


def _changes_nothing(transform, mode):
    """Whether a transform leaves all colours unchanged, so that more than 8 bits can be kept."""
    steps = np.linspace(0, 1, 18, dtype=np.float32)
    values = np.stack(np.meshgrid(*[steps] * len(mode)), -1).reshape(1, -1, len(mode))
    before = np.asarray(_to_pil(values).convert("RGB"), int)
    after = np.asarray(ImageCms.applyTransform(_to_pil(values), transform), int)
    return np.abs(before - after).max() <= _SAME


def _to_pil(colours):
    values = (colours * 255).round().astype(np.uint8)
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values, _MODES[values.shape[2]])
