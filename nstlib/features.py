"""The VGG family as a perceptual backbone: layer names, weights and the plain forward pass."""

import hashlib
import os
import re
import warnings
import zipfile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from .errors import InputError, check_choice

#: Output channels of every convolution, one tuple per block (the convolutions between two poolings).
ARCHITECTURES = {
    "vgg19": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
    "vgg16": ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    "compact": ((16, 16), (48, 48), (64,) * 4, (128,) * 4, (256,)),
}
#: Where style is usually measured (Gatys et al. 2016).
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
BACKBONES = ("auto", *ARCHITECTURES)
POOLINGS = ("max", "average")
PADDINGS = ("replicate", "zeros", "reflect")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
COMPACT_WEIGHTS = Path(__file__).parent / "weights" / "compact.safetensors"


class Backbone(nn.Module):
    """The convolutional part of a VGG network, built only as deep as it is needed.

    Layers carry the names of the literature: ``convB_I`` is the I-th convolution of block B,
    ``reluB_I`` its rectification and ``poolB`` the 2x2 pooling that closes block B.

    Args:
        widths: output channels of every convolution, one tuple per block.
        deepest: name of the last layer to build.
        pooling: ``"max"`` as VGG was trained, or ``"average"`` as Gatys et al. prefer.
        padding: how the first convolution sees past the picture's border. The paper has ``"zeros"``, which leave
            a frame in optimised pictures; ``"replicate"`` does not.
        inner_padding: the same for all other convolutions.

    Raises:
        InputError: unknown layer, pooling or padding (a ``ValueError``).

    References:
        Simonyan & Zisserman, *Very Deep Convolutional Networks*, ICLR 2015.

    Example:
        >>> net = Backbone(((8, 8), (16,)), deepest="relu2_1")
        >>> {name: tuple(f.shape) for name, f in net(torch.rand(1, 3, 32, 48), ("relu1_2", "relu2_1")).items()}
        {'relu1_2': (1, 8, 32, 48), 'relu2_1': (1, 16, 16, 24)}
    """

    def __init__(self, widths, *, deepest=None, pooling="max", padding="replicate", inner_padding="zeros"):
        super().__init__()
        check_choice("pooling", pooling, POOLINGS)
        check_choice("padding", padding, PADDINGS)
        check_choice("inner_padding", inner_padding, PADDINGS)
        names = layer_names(widths)
        if deepest is not None:
            check_choice("layer", deepest, names)
            names = names[: names.index(deepest) + 1]
        self.layers = names
        self.pooling = pooling
        self.padding, self.inner_padding = padding, inner_padding
        self.convs = nn.ModuleDict()
        channels = 3
        for name in names:
            if name.startswith("conv"):
                block, index = block_of(name), int(name.rpartition("_")[2])
                width = widths[block - 1][index - 1]
                self.convs[name] = nn.Conv2d(channels, width, 3)
                channels = width
        #: 1x1 maps that turn some layers' features into the ones a caller sees; a distilled network has them.
        self.maps = nn.ParameterDict()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    @property
    def dtype(self):
        """Floating-point type the network computes in."""
        return self.convs["conv1_1"].weight.dtype

    @property
    def macs_per_pixel(self):
        """Multiply-adds per input pixel of one forward pass to the deepest layer."""
        return sum(conv.weight.numel() / 4 ** (block_of(name) - 1) for name, conv in self.convs.items())

    @property
    def smallest_side(self):
        """Smallest side of a picture, in pixels, for which every layer has at least one feature."""
        return 2 ** self.level(self.layers[-1])

    @property
    def fingerprint(self):
        """Hash of the network's shape and first weights, alike in every precision."""
        first = self.convs["conv1_1"].weight.detach().cpu().half().contiguous()
        shape = repr([(k, tuple(v.shape)) for k, v in self.state_dict().items()]) + self.pooling + self.padding
        return hashlib.sha256(shape.encode() + first.numpy().tobytes()).hexdigest()[:12]

    def channels(self, layer):
        """Number of channels of a layer."""
        names = self.layers[: self.layers.index(layer) + 1]
        return self.convs[[name for name in names if name in self.convs][-1]].out_channels

    def level(self, layer):
        """How often the picture has been halved at a layer."""
        return sum(name.startswith("pool") for name in self.layers[: self.layers.index(layer) + 1])

    def forward(self, image, layers):
        """Feature maps of ``image`` by layer name.

        Args:
            image: RGB in [0, 1], shape (N, 3, H, W).
            layers: names of the layers wanted.

        Returns:
            ``{name: tensor of shape (N, C, H / 2**k, W / 2**k)}`` in the order of the network.

        Raises:
            InputError: a layer that this backbone does not have.
        """
        for name in layers:
            check_choice("layer", name, self.layers)
        last = max(self.layers.index(name) for name in layers)
        maps, _ = self.run(image, self.layers[: last + 1], set(layers))
        return {name: maps[name] for name in self.layers if name in layers}

    def run(self, x, steps, keep, origin=(0, 0)):
        """Consecutive layers from ``x`` on: ``({name: map} of those in keep, output of the last one)``.

        Args:
            x: output of the layer before ``steps``, or the image.
            steps: names of consecutive layers.
            keep: set of names.
            origin: row and column at which ``x`` starts, if it is a tile of a larger map. Pooling windows start
                at even pixels of the whole map: a tile that starts at an odd one loses its first row there.
        """
        maps = {}
        y, z = origin
        for name in steps:
            if name.startswith("pool"):
                x = x[..., y % 2 :, z % 2 :]
                y, z = (y + 1) // 2, (z + 1) // 2
            x = self.step(name, x, keep)
            if name in keep:
                maps[name] = F.conv2d(x, self.maps[name]) if name in self.maps else x
        return maps, x

    def step(self, name, x, keep=()):
        """Output of the layer ``name`` for the output ``x`` of the layer before it.

        ``x`` may be overwritten unless the layer that made it is named in ``keep``.
        """
        if name.startswith("relu"):
            return F.relu(x, inplace=name.replace("relu", "conv") not in keep)
        if name.startswith("pool"):
            return F.max_pool2d(x, 2) if self.pooling == "max" else F.avg_pool2d(x, 2)
        mode = self.inner_padding
        if name == "conv1_1":
            x = ((x - self.mean) / self.std).to(self.dtype)
            mode = self.padding
        weight, bias = self.convs[name].weight, self.convs[name].bias
        if mode == "zeros":
            return F.conv2d(x, weight, bias, padding=1)
        if mode == "replicate" and not weight.requires_grad and not torch.compiler.is_compiling():
            return _ReplicateConv.apply(x, weight, bias)
        return F.conv2d(_replicate(x) if mode == "replicate" else F.pad(x, (1, 1, 1, 1), mode=mode), weight, bias)


def load_backbone(name="auto", *, deepest="relu5_1", weights=None, pooling="max", padding="replicate"):
    """A backbone with trained weights, frozen and ready for use.

    Args:
        name: ``"vgg19"`` or ``"vgg16"`` (the reference networks; downloaded once through torchvision, hash
            checked, unless a file is at hand), ``"compact"`` (the distilled VGG-19 inside this package),
            or ``"auto"``: VGG-19 when its weights are on this machine, else compact with a warning.
        deepest: last layer to build.
        weights: path of a weights file (``.pth``, ``.pt`` or ``.safetensors`` with torchvision's names).
            Without it the environment variables ``NSTLIB_VGG19`` and ``NSTLIB_VGG16`` are asked, then
            torch hub's cache.
        pooling: see :class:`Backbone`.
        padding: of all convolutions.

    Returns:
        :class:`Backbone` in evaluation mode, float32, on the CPU.

    Raises:
        InputError: unknown name or layer, unreadable or incomplete file, or no network to download from.
    """
    check_choice("backbone", name, BACKBONES)
    if name == "auto":
        if weights is None and _local_file("vgg19") is None:
            warnings.warn(
                "The VGG-19 weights are not on this machine: using the embedded compact network. "
                "backbone='vgg19' downloads the reference (548 MB) once; backbone='compact' silences this notice.",
                stacklevel=2,
            )
            name = "compact"
        else:
            name = "vgg19"
    with torch.random.fork_rng(devices=[]):  # the weights' random start is not the caller's business
        backbone = Backbone(
            ARCHITECTURES[name], deepest=deepest, pooling=pooling, padding=padding, inner_padding=padding
        )
    if name == "compact":
        state = _read(weights or COMPACT_WEIGHTS)
    else:
        state = _by_layer_name(_read(weights or _local_file(name) or _download(name)), name)
    missing = [key for key in backbone.convs.state_dict() if key not in state]
    if missing:
        raise InputError(
            f"the weights for {name} end before {missing[0].partition('.')[0]}, which {deepest} needs; "
            "choose shallower layers or a complete weights file"
        )
    try:
        backbone.convs.load_state_dict({key: state[key].float() for key in backbone.convs.state_dict()})
    except RuntimeError as error:
        raise InputError(f"the weights do not fit {name}: {error}") from None
    for layer in backbone.layers:
        if f"{layer}.map" in state:
            backbone.maps[layer] = nn.Parameter(state[f"{layer}.map"].float()[:, :, None, None])
    return backbone.eval().requires_grad_(False)


def layer_names(widths):
    """All layer names of a network of these widths, in order of computation.

    Example:
        >>> layer_names(((64, 64), (128,)))
        ('conv1_1', 'relu1_1', 'conv1_2', 'relu1_2', 'pool1', 'conv2_1', 'relu2_1', 'pool2')
    """
    names = []
    for block, convs in enumerate(widths, 1):
        for index in range(1, len(convs) + 1):
            names += [f"conv{block}_{index}", f"relu{block}_{index}"]
        names.append(f"pool{block}")
    return tuple(names)


def block_of(layer):
    """Number of the block that a layer belongs to: ``block_of("relu4_2") == 4``."""
    return int(re.match(r"[a-z]+(\d+)", layer)[1])


def deepest_of(layers, name="vgg19"):
    """The layer among ``layers`` that comes last in the network ``name``; unknown names are refused."""
    names = layer_names(ARCHITECTURES["vgg19" if name == "auto" else name])
    for layer in layers:
        check_choice("layer", layer, names)
    return max(layers, key=names.index)


class _ReplicateConv(torch.autograd.Function):
    """3x3 convolution behind replicate padding, with frozen weights.

    Written as two operations, autograd would keep the padded input of every layer besides the output of the
    rectification, twice the memory; frozen weights need neither.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(weight)
        ctx.shape = (*x.shape[:2], x.shape[2] + 2, x.shape[3] + 2)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias)

    @staticmethod
    def backward(ctx, gradient):
        (weight,) = ctx.saved_tensors
        gradient = torch.nn.grad.conv2d_input(ctx.shape, weight, gradient)
        for axis in (2, 3):
            for edge, neighbour in ((0, 1), (-1, -2)):
                gradient.select(axis, neighbour).add_(gradient.select(axis, edge))
        return gradient[..., 1:-1, 1:-1], None, None


def _replicate(x):
    """One more pixel on each side, equal to its neighbour.

    As ``F.pad`` does, whose compiled gradient is wrong for channels_last.
    """
    x = torch.cat([x[..., :1, :], x, x[..., -1:, :]], 2)
    return torch.cat([x[..., :1], x, x[..., -1:]], 3)


def _local_file(name):
    """Path of the weights of a torchvision network on this machine, or None."""
    variable = f"NSTLIB_{name.upper()}"
    if os.environ.get(variable):
        return Path(os.environ[variable])
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(_url(name)).name
    return cached if cached.is_file() else None


def _url(name):
    from torchvision.models import VGG16_Weights, VGG19_Weights

    return {"vgg19": VGG19_Weights, "vgg16": VGG16_Weights}[name].IMAGENET1K_V1.url


def _download(name):
    """Fetch torchvision's weights into torch hub's cache; the file name carries the hash to check."""
    url = _url(name)
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2])
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"could not download the {name} weights from {url} ({error}); name a local copy with weights= "
            f"or NSTLIB_{name.upper()}, or use backbone='compact', which needs no download"
        ) from None
    return path


def _read(path):
    path = Path(path)
    if not path.is_file():
        raise InputError(f"weights file not found: {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Mapped, so that of VGG's 548 MB only the convolutions that are used are ever read.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise InputError(f"cannot read weights from {path}: {error}") from None
    except Exception as error:  # pickle raises a class of its own for every way a file can be wrong
        raise InputError(f"{path} is not a weights file: {error}") from None


def _by_layer_name(state, name):
    """Rename torchvision's ``features.N.weight`` to ``convB_I.weight``."""
    renamed = {}
    for index, layer in enumerate(layer_names(ARCHITECTURES[name])):
        for kind in ("weight", "bias"):
            tensor = state.get(f"features.{index}.{kind}")
            if layer.startswith("conv") and tensor is not None:
                renamed[f"{layer}.{kind}"] = tensor
    return renamed


def metadata(path=COMPACT_WEIGHTS):
    """Metadata of a safetensors weights file: what made it, from which teachers, under which licence."""
    with safe_open(path, "pt") as file:
        return file.metadata() or {}
