"""The networks that a compact one is trained to imitate."""

import torch
import torch.nn.functional as F
from torch import nn

from ..ambient import own_random, plain_torch
from ..features.backbone import ARCHITECTURES, STYLE_LAYERS, Backbone
from ..features.pretrained import load_backbone
from ..features.weight_files import fitted, read_weights
from ..moments import Moments

#: Channels of the 16x distilled encoder of Wang et al. (2020).
DISTILLED_WIDTHS = ((16, 16), (32, 32), (64,) * 4, (128,) * 4, (128,))


class Teacher(nn.Module):
    """One or more frozen networks that together give the feature maps to imitate.

    Args:
        parts: sequence of ``(backbone, layers, embeddings)``: the layers to take from this backbone, and
            ``{layer: (weight, bias)}`` of 1x1 convolutions to apply to some of them (may be empty).

    Attributes:
        layers: names of all layers.
    """

    def __init__(self, *parts):
        super().__init__()
        self.backbones = nn.ModuleList(backbone for backbone, _, _ in parts)
        self.layers_of = [tuple(layers) for _, layers, _ in parts]
        self.layers = tuple(layer for layers in self.layers_of for layer in layers)
        self.weights, self.biases = nn.ParameterDict(), nn.ParameterDict()
        for _, _, embeddings in parts:
            for layer, (weight, bias) in embeddings.items():
                self.weights[layer] = nn.Parameter(weight, requires_grad=False)
                self.biases[layer] = nn.Parameter(bias, requires_grad=False)

    def forward(self, image, layers=None):
        """Feature maps by layer name, float32, from RGB in [0, 1] of shape (N, 3, H, W)."""
        result = {}
        for backbone, own in zip(self.backbones, self.layers_of, strict=True):
            wanted = [layer for layer in own if layers is None or layer in layers]
            for layer, x in (backbone(image, wanted) if wanted else {}).items():
                x = x.float()
                embedded = layer in self.weights
                result[layer] = F.conv2d(x, self.weights[layer], self.biases[layer]) if embedded else x
        return result

    def describe(self, image, terms):
        """What style and content losses compare of a picture.

        Args:
            image: RGB in [0, 1], shape (N, 3, H, W).
            terms: pairs ``(kind, layer)``.

        Returns:
            ``{term: tensor}``: Gram matrices, shape (N, C, C), for ``("style", layer)``, and feature maps, shape
            (N, C, h, w), for ``("content", layer)``.
        """
        features = self(image, {layer for _, layer in terms})
        return {
            (kind, layer): Moments.of(features[layer]).gram if kind == "style" else features[layer]
            for kind, layer in terms
        }

    @classmethod
    def vgg19(cls, weights=None, dtype=torch.float32):
        """VGG-19 as the only teacher.

        Args:
            weights: as for :func:`~nstlib.load_backbone`.
            dtype: to compute in.
        """
        layers = (*STYLE_LAYERS, "relu1_2", "relu2_2", "relu3_4", "relu4_2")
        return cls((load_backbone("vgg19", weights=weights).to(dtype), layers, {}))

    @classmethod
    def from_files(cls, vgg19, distilled, dtype=torch.float32):
        """The real VGG-19 up to relu3_1 and, above it, the 16x distilled encoder of Wang et al. (2020).

        Args:
            vgg19: weights file that holds at least conv1_1 ... conv3_1 with torchvision's names.
            distilled: the encoder's file; its ``aux`` convolutions embed relu4_1 and relu5_1 in VGG-19's 512 channels.
            dtype: of the VGG-19.
        """
        lower = load_backbone("vgg19", deepest="relu3_1", weights=vgg19)
        upper, embeddings = load_distilled(distilled)
        return cls(
            (lower.to(dtype), ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1"), {}),
            (
                upper,
                ("relu3_4", "relu4_1", "relu4_2", "relu4_4", "relu5_1"),
                {layer: embeddings[layer] for layer in ("relu4_1", "relu5_1")},
            ),
        )


@plain_torch()
@own_random()
def load_distilled(path):
    """The 16x distilled encoder of Wang et al. (CVPR 2020) and its embeddings in VGG-19's channels.

    Returns:
        ``(backbone, {layer: (weight, bias)})``. The encoder's first 1x1 convolution, which turns RGB into
        BGR minus a mean, is folded into conv1_1; that is exact because its padding is reflection.

    Raises:
        InputError: no such file, or not the encoder's weights.
    """
    backbone = Backbone(DISTILLED_WIDTHS, border="reflect", padding="reflect", deepest="relu5_1")
    names = {name: f"conv{name[4]}{name[6]}" for name in backbone.convs}
    expected = {"conv0.weight": torch.empty(3, 3, 1, 1), "conv0.bias": torch.empty(3)}
    for name, theirs in names.items():
        expected |= {f"{theirs}.{kind}": getattr(backbone.convs[name], kind) for kind in ("weight", "bias")}
    for block, (small, large) in enumerate(zip(DISTILLED_WIDTHS, ARCHITECTURES["vgg19"], strict=True), 1):
        expected[f"conv{block}1_aux.weight"] = torch.empty(large[0], small[0], 1, 1)
        expected[f"conv{block}1_aux.bias"] = torch.empty(large[0])
    state = fitted(read_weights(path), expected, path)
    backbone.mean.zero_()
    backbone.std.fill_(1)
    first, shift = state["conv11.weight"], state["conv0.bias"]
    state["conv11.weight"] = torch.einsum("oihw,ij->ojhw", first, state["conv0.weight"][:, :, 0, 0])
    state["conv11.bias"] = state["conv11.bias"] + torch.einsum("oihw,i->o", first, shift)
    backbone.convs.load_state_dict(
        {f"{name}.{kind}": state[f"{theirs}.{kind}"] for name, theirs in names.items() for kind in ("weight", "bias")}
    )
    embeddings = {f"relu{b}_1": (state[f"conv{b}1_aux.weight"], state[f"conv{b}1_aux.bias"]) for b in range(1, 6)}
    return backbone.eval().requires_grad_(False), embeddings
