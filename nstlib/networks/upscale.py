"""Super-resolution: a small network that enlarges a picture two, three or four times, tile by tile.

It adds the detail that a bicubic enlargement lacks: a few 3x3 convolutions at the small size, the last of which gives
``scale**2`` pixels for each, arranged by a pixel shuffle. Its receptive field is small, so a picture of any size is
enlarged in tiles, exactly. :mod:`nstlib.training.upscale` trains it.
"""

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..ambient import own_random, plain_torch
from ..checks import whole
from ..errors import InputError
from ..features.weight_files import existing_file, fitted, read_weights
from ..images import load_image_and_alpha, resize, to_pil
from .tiles import in_tiles

SCALES = (2, 3, 4)
WEIGHTS = Path(__file__).parents[1] / "weights"
#: Halo in pixels of a foreign model, whose receptive field is not known.
FOREIGN_HALO = 32


class Upscaler(nn.Module):
    """Enlarges pictures by a whole number; starts, untrained, as bicubic interpolation. Float32, on the CPU.

    Args:
        scale: 2, 3 or 4.
        width: channels.
        depth: number of convolutions between the first and the last; even.

    Raises:
        InputError: numbers out of range.

    References: Shi et al., *Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network*, CVPR 2016, for the pixel shuffle; Kim et al., *Accurate Image Super-Resolution Using
    Very Deep Convolutional Networks*, CVPR 2016, for learning what bicubic interpolation lacks.
    """

    @plain_torch()
    def __init__(self, scale, width=32, depth=8):
        super().__init__()
        self.scale, width, depth = _scale(scale), whole("width", width), whole("depth", depth, 2)
        if depth % 2:
            raise InputError(f"depth must be even, received {depth}")
        self.first = nn.Conv2d(3, width, 3, dtype=torch.float32)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, dtype=torch.float32) for _ in range(depth))
        self.last = nn.Conv2d(width, 3 * self.scale**2, 3, dtype=torch.float32)
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
        """The enlarged picture, shape (N, 3, H * scale, W * scale), not clipped; ``image`` is RGB in [0, 1]."""
        x = F.leaky_relu(_conv(self.first, image - 0.5), 0.1)
        for first, second in zip(self.body[::2], self.body[1::2], strict=True):
            x = x + _conv(second, F.leaky_relu(_conv(first, x), 0.1))
        # Halved, because resize clips to [0, 1] and would cut off the overshoots of the cubic.
        base = resize(image / 2 + 0.25, [side * self.scale for side in image.shape[2:]]) * 2 - 0.5
        return base + F.pixel_shuffle(_conv(self.last, x), self.scale)


def load_upscaler(scale=2, weights=None):
    """A trained upscaler, frozen.

    Args:
        scale: 2, 3 or 4.
        weights: a file made by :mod:`nstlib.training.upscale`, or a checkpoint of an architecture that ``spandrel``
            knows (``pip install "nstlib[sr]"``); the scale is then the file's. None for the weights in the package.

    Raises:
        InputError: another scale, no such file, or one that cannot be read.
    """
    path = WEIGHTS / f"upscale_x{_scale(scale)}.safetensors" if weights is None else existing_file(weights)
    with plain_torch(), own_random():  # building a network draws random weights
        state = read_weights(path)
        ours = {"first.bias", "body.0.weight", "last.bias"} <= set(state)
        model = _from_state(state, path) if ours else _Foreign(_load_with_spandrel(path))
    return model.eval().requires_grad_(False)


def upscale(picture, scale=2, *, model=None, tile=256, progress=False):
    """Enlarge a picture.

    Args:
        picture: whatever :func:`~nstlib.images.load_image` takes. Transparency is enlarged bicubically; fully
            transparent pixels first take the colours of visible neighbours, so that their own do not bleed.
        scale: 2, 3 or 4.
        model: from :func:`load_upscaler`, whose scale then counts; None for the package's.
        tile: side of the tiles in pixels of the small picture, 0 or None for one tile; the result does not depend
            on it.
        progress: show a progress bar.

    Returns:
        PIL image.

    Raises:
        InputError: a picture that cannot be read, or another scale or tile.

    Example:
        >>> from nstlib import samples
        >>> small = samples.content().resize((60, 40))
        >>> upscale(small, 3).size
        (180, 120)
    """
    model, tile = model or load_upscaler(scale), _tile(tile)
    return to_pil(*upscale_straight(*load_image_and_alpha(picture), model, tile=tile, progress=progress))


def upscale_straight(image, alpha, model, *, tile=256, progress=False):
    """:func:`upscale` for straight colours and their transparency, in tensors.

    Args:
        image: RGB in [0, 1], shape (N, 3, H, W).
        alpha: in [0, 1], shape (N, 1, H, W), or None.
        model, tile, progress: as for :func:`upscale`.

    Returns:
        ``(image, alpha)``, enlarged.
    """
    if alpha is None:
        return upscale_tensor(image, model, tile=tile, progress=progress), None
    with plain_torch():
        image = _fill(image, (alpha >= 0.5 / 255).to(image))
        large = upscale_tensor(image, model, tile=tile, progress=progress)
        return large, resize(alpha, large.shape[2:])


def upscale_tensor(image, model, *, tile=256, progress=False):
    """:func:`upscale` for tensors.

    The model computes in its own precision, on the image's device (a copy of it, if it is elsewhere).

    Args:
        image: RGB in [0, 1], shape (N, 3, H, W), float16, bfloat16, float32 or float64.
        model, tile, progress: as for :func:`upscale`.

    Returns:
        Shape (N, 3, H * scale, W * scale) in [0, 1], of the image's type and device.

    Raises:
        InputError: another shape or type, NaN or infinite values, or another tile.
    """
    if image.dim() != 4 or image.shape[1] != 3 or not image.numel() or not image.is_floating_point():
        raise InputError(
            f"expected floats in [0, 1] of shape (N, 3, H, W), received {image.dtype} of shape {tuple(image.shape)}"
        )
    tile = _tile(tile) or max(image.shape[2:])
    weight = next(model.parameters())
    if weight.device != image.device:
        model = copy.deepcopy(model).to(image.device)  # the caller's stays where it is
    if not image.isfinite().all():
        raise InputError(f"the picture has {int((~image.isfinite()).sum())} values that are NaN or infinite")

    def enlarge(part):
        return model(part.to(weight.dtype)).to(image.dtype)

    with plain_torch(), torch.no_grad():
        large = in_tiles(enlarge, image, tile=tile, halo=model.halo, scale=model.scale, progress=progress)
        return large.clamp_(0, 1)


def _scale(scale):
    if scale not in SCALES:
        raise InputError(f"unknown scale {scale!r}; choose from {', '.join(map(str, SCALES))}")
    return int(scale)


def _tile(tile):
    return 0 if tile is None else whole("tile", tile, 0)


def _fill(image, visible):
    """``image`` with the pixels outside the mask ``visible``, shape (N, 1, H, W), filled in by push-pull.

    Each gets the mean of the visible pixels in the smallest block around it that has any, in a pyramid of halvings.

    Reference: Gortler et al., *The Lumigraph*, SIGGRAPH 1996.
    """
    if visible.all() or max(image.shape[2:]) == 1:
        return image
    share = F.avg_pool2d(visible, 2, ceil_mode=True)
    mean = F.avg_pool2d(image * visible, 2, ceil_mode=True) / share.clamp_min(1e-6)
    mean = _fill(mean, (share > 0).to(image))
    return torch.where(visible > 0, image, F.interpolate(mean, image.shape[2:], mode="bilinear"))


def _conv(conv, x):
    # Exact in tiles too: what padding adds at the border of a tile lies in the halo, which is cropped.
    return conv(F.pad(x, (1, 1, 1, 1), mode="replicate"))


def _from_state(state, path):
    depth = sum(key.startswith("body") and key.endswith("weight") for key in state)
    try:
        model = Upscaler(math.isqrt(state["last.bias"].numel() // 3), state["first.bias"].numel(), depth)
    except InputError as error:
        raise InputError(f"the weights in {path} do not fit: {error}") from None
    model.load_state_dict(fitted(state, model.state_dict(), path))
    return model


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
    """A model loaded by spandrel, with the attributes of an :class:`Upscaler`."""

    halo = FOREIGN_HALO

    def __init__(self, descriptor):
        super().__init__()
        self.descriptor, self.scale = descriptor, descriptor.scale
        self.network = descriptor.model.eval().requires_grad_(False)

    def forward(self, image):
        return self.descriptor(image)
