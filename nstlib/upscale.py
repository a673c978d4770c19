"""Super-resolution: a small network that enlarges a picture two, three or four times, tile by tile.

It adds to a bicubic enlargement what the picture had and lost: a few 3x3 convolutions at the small size, whose last one
gives ``scale**2`` pixels for each, put in their places by a pixel shuffle. It sees only a few pixels around each, so a
picture of any size is enlarged in tiles, exactly. :mod:`nstlib.upscale_training` trains it.
"""

import math
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from tqdm.auto import tqdm

from .errors import InputError
from .images import load_image_and_alpha, resize, to_pil
from .tiling import cuts

SCALES = (2, 3, 4)
WEIGHTS = Path(__file__).parent / "weights"
#: Neighbourhood in pixels that is given to a foreign model, whose receptive field is not known.
FOREIGN_HALO = 32


class Upscaler(nn.Module):
    """Enlarges pictures by a whole number; starts, untrained, as bicubic interpolation.

    Args:
        scale: 2, 3 or 4.
        width: channels.
        depth: number of convolutions between the first and the last; even.

    References: Shi et al., *Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network*, CVPR 2016, for the pixel shuffle; Kim et al., *Accurate Image Super-Resolution Using
    Very Deep Convolutional Networks*, CVPR 2016, for learning what bicubic interpolation lacks.
    """

    def __init__(self, scale, width=32, depth=8):
        super().__init__()
        self.scale = scale
        self.first = nn.Conv2d(3, width, 3)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3) for _ in range(depth))
        self.last = nn.Conv2d(width, 3 * scale**2, 3)
        for conv in (self.first, *self.body):
            nn.init.kaiming_normal_(conv.weight, a=0.1)
            nn.init.zeros_(conv.bias)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @property
    def halo(self):
        """Pixels around a pixel that its enlargement depends on."""
        return len(self.body) + 2

    def forward(self, image):
        """RGB in [0, 1], shape (N, 3, H, W) -> (N, 3, H * scale, W * scale), not clipped."""
        x = F.leaky_relu(_conv(self.first, image - 0.5), 0.1)
        for first, second in zip(self.body[::2], self.body[1::2], strict=True):
            x = x + _conv(second, F.leaky_relu(_conv(first, x), 0.1))
        size = [side * self.scale for side in image.shape[2:]]
        base = F.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False)
        return base + F.pixel_shuffle(_conv(self.last, x), self.scale)


def load_upscaler(scale=2, weights=None):
    """A trained upscaler, frozen.

    Args:
        scale: 2, 3 or 4.
        weights: a file made by :mod:`nstlib.upscale_training`, or a checkpoint of an architecture that ``spandrel``
            knows (``pip install "nstlib[sr]"``); the scale is then the file's. None for the weights in the package.

    Raises:
        InputError: no such scale or file, or a file that cannot be read.
    """
    if weights is None:
        if scale not in SCALES:
            raise InputError(f"unknown scale {scale!r}; choose from {', '.join(map(str, SCALES))}")
        weights = WEIGHTS / f"upscale_x{scale}.safetensors"
    path = Path(weights)
    if not path.is_file():
        raise InputError(f"weights file not found: {path}")
    state = load_file(path) if path.suffix == ".safetensors" else {}
    if not {"first.weight", "body.0.weight", "last.weight"} <= set(state):
        return _Foreign(_load_with_spandrel(path))
    depth = sum(key.startswith("body") and key.endswith("weight") for key in state)
    model = Upscaler(math.isqrt(len(state["last.bias"]) // 3), len(state["first.bias"]), depth)
    model.load_state_dict({key: value.float() for key, value in state.items()})
    return model.eval().requires_grad_(False)


def upscale(picture, scale=2, *, model=None, tile=256, progress=False):
    """Enlarge a picture.

    Args:
        picture: whatever :func:`~nstlib.images.load_image` takes. Transparency is enlarged bicubically.
        scale: 2, 3 or 4.
        model: from :func:`load_upscaler`, whose scale then counts; None for the package's.
        tile: side of the tiles in pixels of the small picture; the result does not depend on it.
        progress: show a progress bar.

    Returns:
        PIL image.

    Example:
        >>> from nstlib import samples
        >>> small = samples.content().resize((60, 40))
        >>> upscale(small, 3).size
        (180, 120)
    """
    image, alpha = load_image_and_alpha(picture)
    large = upscale_tensor(image, model or load_upscaler(scale), tile=tile, progress=progress)
    return to_pil(large, None if alpha is None else resize(alpha, large.shape[2:]))


def upscale_tensor(image, model, *, tile=256, progress=False):
    """:func:`upscale` for tensors: shape (1, 3, H, W) in [0, 1] -> (1, 3, H * scale, W * scale), clipped."""
    height, width = image.shape[2:]
    scale, halo = model.scale, model.halo
    model = model.to(image.device)
    result = image.new_empty(1, 3, height * scale, width * scale)
    rows, columns = (list(pairwise(cuts(length, tile, 1))) for length in (height, width))
    cores = [(*row, *column) for row in rows for column in columns]
    with torch.inference_mode():
        for top, bottom, left, right in tqdm(cores, unit="tile", disable=not progress):
            y, x = max(0, top - halo), max(0, left - halo)
            large = model(image[..., y : bottom + halo, x : right + halo])
            result[..., top * scale : bottom * scale, left * scale : right * scale] = large[
                ..., (top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale
            ]
    return result.clamp_(0, 1)


def _conv(conv, x):
    # Only the network's own border repeats pixels; a tile's rim is cropped before it matters.
    return conv(F.pad(x, (1, 1, 1, 1), mode="replicate"))


def _load_with_spandrel(path):
    try:
        import spandrel
    except ImportError:
        raise InputError(f"{path} is not one of nstlib's upscalers; to read others: pip install 'nstlib[sr]'") from None
    try:
        model = spandrel.ModelLoader(device="cpu").load_from_file(path)
    except Exception as error:  # of whatever kind the file provokes
        raise InputError(f"cannot read an upscaler from {path}: {error}") from None
    if not isinstance(model, spandrel.ImageModelDescriptor) or model.input_channels != 3 or model.output_channels != 3:
        raise InputError(f"{path} is no network from one colour picture to another")
    return model


class _Foreign(nn.Module):
    """A model that spandrel has loaded, with the face of an :class:`Upscaler`."""

    halo = FOREIGN_HALO

    def __init__(self, descriptor):
        super().__init__()
        self.descriptor, self.scale = descriptor, descriptor.scale
        self.network = descriptor.model.eval().requires_grad_(False)

    def forward(self, image):
        return self.descriptor(image)
