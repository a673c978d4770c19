"""The network that is trained: the compact backbone, and embeddings of its features in those of the teacher."""

import torch
from torch import nn

from ..features.backbone import ARCHITECTURES, Backbone
from ..moments import Moments
from .reduction import linear_map, reduce_channels


class Student(nn.Module):
    """A compact network that begins as the teacher with fewer channels, and a 1x1 convolution per layer into the
    teacher's channels (a *linear embedding*, Wang et al., CVPR 2020).

    Args:
        teacher: :class:`~nstlib.training.teacher.Teacher`.
        images: RGB in [0, 1], shape (N, 3, H, W), to choose the channels by.

    Attributes:
        backbone: :class:`~nstlib.features.Backbone` of the compact network's shape.
        embeddings: ``{layer: 1x1 convolution}`` into the teacher's features at the teacher's scale.
    """

    def __init__(self, teacher, images):
        super().__init__()
        self.backbone = Backbone(ARCHITECTURES["compact"], deepest=teacher.backbone.layers[-1], padding="replicate")
        self.backbone.to(images.device)
        reduce_channels(teacher.backbone, self.backbone, images)
        self.embeddings = nn.ModuleDict()
        with torch.no_grad():
            goals, features = teacher(images), self.backbone(images, teacher.layers)
            for layer, goal in goals.items():
                rows, columns = goal.shape[1], self.backbone.channels(layer)
                self.embeddings[layer] = nn.Conv2d(columns, rows, 1, bias=False, dtype=torch.float32)
                self.embeddings[layer].weight.copy_(linear_map(features[layer], goal)[:, :, None, None])
        self.to(images.device)

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
