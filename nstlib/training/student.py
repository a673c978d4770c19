"""The network that is trained: the compact backbone, and embeddings of its features in those of the teacher."""

import torch
from torch import nn

from ..ambient import plain_torch
from ..features.backbone import ARCHITECTURES, Backbone
from ..moments import Moments


class BatchNormBackbone(Backbone):
    """A backbone with batch normalisation after every convolution, until it is folded.

    Args: as :class:`~nstlib.features.Backbone`.

    Reference: Ioffe & Szegedy, *Batch Normalization*, ICML 2015.
    """

    @plain_torch()
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.norms = nn.ModuleDict(
            {name: nn.BatchNorm2d(conv.out_channels, dtype=torch.float32) for name, conv in self.convs.items()}
        )

    def step(self, name, x, keep=()):
        x = super().step(name, x, keep)
        return self.norms[name](x) if name in self.norms else x

    def fold(self):
        """Merge the normalisation into the convolutions; in evaluation mode the features stay the same."""
        with torch.no_grad():
            for name, norm in self.norms.items():
                conv, scale = self.convs[name], norm.weight / (norm.running_var + norm.eps).sqrt()
                conv.weight.mul_(scale.view(-1, 1, 1, 1))
                conv.bias.copy_((conv.bias - norm.running_mean) * scale + norm.bias)
        self.norms.clear()


class Student(nn.Module):
    """A compact network with random weights, and a 1x1 convolution per layer into the teacher's channels.

    Args:
        channels: ``{layer: channels of the teacher}``.

    Attributes:
        backbone: :class:`BatchNormBackbone` of the compact network's shape.
        embeddings: ``{layer: 1x1 convolution}``.
    """

    def __init__(self, channels):
        super().__init__()
        self.backbone = BatchNormBackbone(ARCHITECTURES["compact"], deepest="relu5_1", padding="replicate")
        for conv in self.backbone.convs.values():
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        self.embeddings = nn.ModuleDict(
            {
                layer: nn.Conv2d(self.backbone.channels(layer), count, 1, bias=False, dtype=torch.float32)
                for layer, count in channels.items()
            }
        )

    def describe(self, image, terms):
        """As :meth:`~nstlib.training.teacher.Teacher.describe`, with embedded features."""
        features, result = self.backbone(image, {layer for _, layer in terms}), {}
        for kind, layer in terms:
            embed, own = self.embeddings[layer], features[layer]
            result[kind, layer] = embedded_gram(Moments.of(own), embed) if kind == "style" else embed(own)
        return result

    def weights(self):
        """Weights by name, as a file for ``load_backbone("compact", weights=...)`` has them.

        With the QR decomposition ``A = Q R`` of an embedding, ``R`` alone is kept: ``Q`` is an isometry, so features
        embedded by ``R`` have the distances, Gram distances and Wasserstein distances of those embedded by ``A``.
        """
        state = self.backbone.convs.state_dict()
        for layer, embedding in self.embeddings.items():
            state[f"{layer}.map"] = torch.linalg.qr(embedding.weight.detach().flatten(1))[1]
        return state


def embedded_gram(moments, embedding):
    """Gram matrices of embedded features, from the moments of the features alone.

    Args:
        moments: :class:`~nstlib.moments.Moments` of features with C channels, batch of N.
        embedding: 1x1 convolution from C to C' channels, without bias.

    Returns:
        Shape (N, C', C').
    """
    a = embedding.weight.flatten(1)
    return a @ moments.gram @ a.T
