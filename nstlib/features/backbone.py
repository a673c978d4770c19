"""The VGG family as a perceptual backbone: layer names and the plain forward pass."""

import hashlib
import re

import torch
import torch.nn.functional as F
from torch import nn

from ..ambient import own_random, plain_torch
from ..errors import InputError, check_choice
from .replicate import replicate_conv

#: Output channels of every convolution, one tuple per block (the convolutions between two poolings).
ARCHITECTURES = {
    "vgg19": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
    "vgg19_torchvision": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
    "vgg16": ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    "compact": ((16, 32), (64, 64), (96,) * 4, (192,) * 4, (256,)),
}
#: Where style is usually measured (Gatys et al. 2016).
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
BACKBONES = ("auto", *ARCHITECTURES)
POOLINGS = ("max", "average")
PADDINGS = ("replicate", "zeros", "reflect")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """The convolutional part of a VGG network down to the deepest layer needed: float32, on the CPU, random weights.

    Layers are named as in the literature: ``convB_I`` is the I-th convolution of block B,
    ``reluB_I`` its rectification and ``poolB`` the 2x2 pooling that closes block B.

    Args:
        widths: output channels of every convolution, one tuple per block.
        deepest: name of the last layer to build.
        pooling: ``"max"`` as VGG was trained, or ``"average"`` as Gatys et al. prefer.
        border: padding of the first convolution. The paper uses ``"zeros"``, which leave a frame in optimised
            pictures; ``"replicate"`` leaves less of one.
        padding: padding of all other convolutions.

    Raises:
        InputError: unknown layer, pooling or padding.

    Reference: Simonyan & Zisserman, *Very Deep Convolutional Networks*, ICLR 2015.

    Example:
        >>> net = Backbone(((8, 8), (16,)), deepest="relu2_1")
        >>> {name: tuple(f.shape) for name, f in net(torch.rand(1, 3, 32, 48), ("relu1_2", "relu2_1")).items()}
        {'relu1_2': (1, 8, 32, 48), 'relu2_1': (1, 16, 16, 24)}
    """

    @plain_torch()
    def __init__(self, widths, *, deepest=None, pooling="max", border="replicate", padding="zeros"):
        super().__init__()
        check_choice("pooling", pooling, POOLINGS)
        check_choice("border", border, PADDINGS)
        check_choice("padding", padding, PADDINGS)
        names = layer_names(widths)
        if deepest is not None:
            check_choice("layer", deepest, names)
            names = names[: names.index(deepest) + 1]
        self.layers, self.pooling, self.border, self.padding = names, pooling, border, padding
        self.convs = nn.ModuleDict()
        self._places = {}  # of every layer: its channels, and how often the picture has been halved there
        channels, halved = 3, 0
        for name in names:
            if name.startswith("conv"):
                index = int(name.rpartition("_")[2])
                width = widths[block_of(name) - 1][index - 1]
                self.convs[name] = nn.Conv2d(channels, width, 3, dtype=torch.float32)
                channels = width
            halved += name.startswith("pool")
            self._places[name] = channels, halved
        #: 1x1 convolutions through which callers see the features of some layers; a distilled network has them.
        self.embeddings = nn.ParameterDict()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD, dtype=torch.float32).view(1, 3, 1, 1))

    @classmethod
    @plain_torch()
    def random(cls, widths, seed=0, **options):
        """A frozen network with Kaiming-normal weights, which depend on ``seed`` alone; the rest as for the class.

        Reference: He et al., *Delving Deep into Rectifiers*, ICCV 2015, eq. 10.
        """
        with own_random(seed):
            network = cls(widths, **options)
            for conv in network.convs.values():
                nn.init.kaiming_normal_(conv.weight)
        return network.requires_grad_(False)

    @property
    def dtype(self):
        """Floating-point type the network computes in."""
        return self.convs["conv1_1"].weight.dtype

    @property
    def arithmetic(self):
        """The type of pictures and losses: the network's own, but never less than float32."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    @property
    def macs_per_pixel(self):
        """Multiply-adds per input pixel of one forward pass to the deepest layer."""
        return sum(conv.weight.numel() / 4 ** (block_of(name) - 1) for name, conv in self.convs.items())

    @property
    def smallest_side(self):
        """Smallest side, in pixels, of a picture that the whole network takes; see :meth:`least_side`."""
        return self.least_side(self.layers[-1])

    @property
    def fingerprint(self):
        """16 hexadecimal digits that identify layers, pooling, padding and weights, in any precision on any device."""
        digest = hashlib.sha256(repr((self.layers, self.pooling, self.border, self.padding)).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(value.cpu().half().contiguous().numpy())
        return digest.hexdigest()[:16]

    def least_side(self, last):
        """Smallest side, in pixels, of a picture that the layers down to ``last`` take.

        Every layer needs one feature; a convolution with reflect padding needs two pixels, one to mirror.
        """
        sides = [2 ** self.downsampling(last)]
        for name in self.layers[: self.layers.index(last) + 1]:
            if name in self.convs and (self.border if name == "conv1_1" else self.padding) == "reflect":
                sides.append(2 * 2 ** self.downsampling(name))
        return max(sides)

    def channels(self, layer):
        """Number of channels of a layer."""
        return self._places[layer][0]

    def downsampling(self, layer):
        """How often the picture has been halved at a layer."""
        return self._places[layer][1]

    def forward(self, image, layers):
        """Feature maps of ``image`` by layer name.

        Args:
            image: RGB in [0, 1], shape (N, 3, H, W).
            layers: names of the layers wanted.

        Returns:
            ``{name: tensor of shape (N, C, H / 2**k, W / 2**k)}`` in the order of the network.

        Raises:
            InputError: a layer that this backbone lacks, or a picture too small for it.
        """
        for name in layers:
            check_choice("layer", name, self.layers)
        last = max(self.layers.index(name) for name in layers)
        _check_picture(image, self.layers[last], self.least_side(self.layers[last]))
        maps, _ = self.run(image, self.layers[: last + 1], set(layers))
        return {name: maps[name] for name in self.layers if name in layers}

    def run(self, x, steps, keep, origin=(0, 0)):
        """Run consecutive layers: ``({name: map} of those in keep, output of the last one)``.

        Args:
            x: output of the layer before ``steps``, or the image.
            steps: names of consecutive layers.
            keep: set of names.
            origin: row and column at which ``x`` starts, if it is a tile of a larger map. Pooling windows start
                at even pixels of the whole map: a tile that starts at an odd one loses its first row there.
        """
        maps = {}
        row, column = origin
        for name in steps:
            if name.startswith("pool"):
                x = x[..., row % 2 :, column % 2 :]
                row, column = (row + 1) // 2, (column + 1) // 2
            x = self.step(name, x, keep)
            if name in keep:
                maps[name] = F.conv2d(x, self.embeddings[name]) if name in self.embeddings else x
        return maps, x

    def step(self, name, x, keep=()):
        """Output of the layer ``name`` for the output ``x`` of the layer before it.

        ``x`` may be overwritten unless the layer that made it is named in ``keep``.
        """
        if name.startswith("relu"):
            return F.relu(x, inplace=name.replace("relu", "conv") not in keep)
        if name.startswith("pool"):
            return F.max_pool2d(x, 2) if self.pooling == "max" else F.avg_pool2d(x, 2)
        mode = self.padding
        if name == "conv1_1":
            x = ((x - self.mean) / self.std).to(self.dtype)
            mode = self.border
        weight, bias = self.convs[name].weight, self.convs[name].bias
        if mode == "replicate":
            return replicate_conv(x, weight, bias)
        if mode == "zeros":
            return F.conv2d(x, weight, bias, padding=1)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), weight, bias)


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
    """The one of ``layers`` that comes last in the network ``name``; unknown layers are refused."""
    names = layer_names(ARCHITECTURES["vgg19" if name == "auto" else name])
    for layer in layers:
        check_choice("layer", layer, names)
    return max(layers, key=names.index)


def _check_picture(image, layer, least):
    if image.dim() != 4 or image.shape[1] != 3:
        raise InputError(f"expected pictures of shape (N, 3, H, W), received {tuple(image.shape)}")
    if min(image.shape[2:]) < least:
        raise InputError(
            f"{layer} needs pictures of at least {least} pixels a side with this padding, "
            f"received {image.shape[3]} x {image.shape[2]}"
        )
