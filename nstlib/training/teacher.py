"""The network that the compact one is trained to imitate."""

from torch import nn

from ..moments import Moments

#: Layers that are imitated: those that style and content losses usually look at, and the last of every block.
LAYERS = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_4", "relu4_1", "relu4_2", "relu4_4", "relu5_1")


class Teacher(nn.Module):
    """A frozen network, its features divided by their sizes.

    VGG's activations reach thousands; divided, all layers weigh alike, and no loss changes that is relative.

    Args:
        backbone: :class:`~nstlib.features.Backbone`, VGG-19 for instance.
        layers: names of the layers to imitate.
        images: RGB in [0, 1], shape (N, 3, H, W), to take the sizes from.

    Attributes:
        layers: as given.
    """

    def __init__(self, backbone, layers, images):
        super().__init__()
        self.backbone, self.layers = backbone, tuple(layers)
        maps = backbone(images, self.layers)
        self.scales = {layer: x.square().mean().sqrt().item() for layer, x in maps.items()}

    def forward(self, image, layers=None):
        """Feature maps by layer name, from RGB in [0, 1] of shape (N, 3, H, W)."""
        maps = self.backbone(image, self.layers if layers is None else layers)
        return {layer: x / self.scales[layer] for layer, x in maps.items()}

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
