"""Train the compact network: a VGG-19 with a quarter of the channels that sees style as VGG-19 does.

The student is trained from scratch. Each of its layers that the teacher has too gets a 1x1 map to the teacher's
channels (*linear embedding*, Wang et al., CVPR 2020), and the two are trained together on three losses:

1. *Embedding*: the mapped features equal the teacher's.
2. *Moments*: their Gram matrices equal the teacher's, for these are what style is.
3. *Gradients*: the picture's gradients of the style and content losses point where the teacher's point. They are
   what an optimised picture follows, and this is the one loss that looks at the backward pass. Half of the time it
   looks at pictures that the student itself is painting: what the teacher sees there is where the student goes wrong.

Plain VGGs learn slowly from random weights, so the first part of the training normalises every convolution's
output over the batch. The normalisation is then folded into the convolutions, which changes nothing, and the
gradient loss, which needs each picture on its own, is added.

The maps are kept, in a smaller form: a map ``A`` (C' x C) has the QR decomposition ``A = Q R``, and since ``Q`` is an
isometry, features mapped by the C x C matrix ``R`` have the same distances, Gram distances and Wasserstein
distances as those mapped by ``A``. So a loss in the student's features is the loss in the teacher's.
"""

import argparse
import math
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.transforms import v2

from .checkpoints import read_state, write_state
from .features import ARCHITECTURES, STYLE_LAYERS, Backbone
from .images import find_pictures
from .losses import gram_distance
from .moments import Moments
from .pretrained import load_backbone

#: Channels of the 16x distilled encoder of Wang et al. (2020).
DISTILLED_WIDTHS = ((16, 16), (32, 32), (64,) * 4, (128,) * 4, (128,))
#: Of the gradient loss. It decides how well pictures can be optimised; the others are the way there.
GRADIENT_WEIGHT = 3.0
#: The losses whose gradients are compared, as (kind, layer).
TERMS = (*(("style", layer) for layer in STYLE_LAYERS), ("content", "relu4_1"), ("content", "relu4_2"))


class Teacher(nn.Module):
    """One or more frozen networks that together give the feature maps to imitate.

    Args:
        parts: sequence of ``(backbone, layers, maps)``: the layers to take from this backbone, and a
            ``{layer: (weight, bias)}`` of 1x1 convolutions to apply to them (may be empty).
    """

    def __init__(self, *parts):
        super().__init__()
        self.backbones = nn.ModuleList(backbone for backbone, _, _ in parts)
        self.parts = parts
        self.layers = tuple(layer for _, layers, _ in parts for layer in layers)

    def forward(self, image, layers=None):
        """Feature maps by layer name, float32, from RGB in [0, 1] of shape (N, 3, H, W)."""
        result = {}
        for backbone, own, maps in self.parts:
            wanted = [layer for layer in own if layers is None or layer in layers]
            for layer, x in (backbone(image, wanted) if wanted else {}).items():
                x = x.float()
                result[layer] = F.conv2d(x, *maps[layer]) if layer in maps else x
        return result

    @classmethod
    def vgg19(cls, layers=(*STYLE_LAYERS, "relu1_2", "relu2_2", "relu3_4", "relu4_2"), dtype=torch.float32):
        """torchvision's VGG-19 as the only teacher."""
        return cls((load_backbone("vgg19").to(dtype), layers, {}))

    @classmethod
    def from_files(cls, vgg19, distilled, dtype=torch.float32):
        """The real VGG-19 up to relu3_1 and, above it, the 16x distilled encoder of Wang et al. (2020).

        Args:
            vgg19: weights file that holds at least conv1_1 ... conv3_1 with torchvision's names.
            distilled: the encoder's file; its ``aux`` maps turn relu4_1 and relu5_1 into VGG-19's 512 channels.
        """
        lower = load_backbone("vgg19", deepest="relu3_1", weights=vgg19)
        upper, maps = load_distilled(distilled)
        return cls(
            (lower.to(dtype), ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1"), {}),
            (
                upper,
                ("relu3_4", "relu4_1", "relu4_2", "relu4_4", "relu5_1"),
                {k: maps[k] for k in ("relu4_1", "relu5_1")},
            ),
        )


def load_distilled(path):
    """The 16x distilled encoder of Wang et al. (CVPR 2020) and its maps to VGG-19's channels.

    Returns:
        ``(backbone, {layer: (weight, bias)})``. The encoder's first 1x1 convolution, which turns RGB into
        BGR minus a mean, is folded into conv1_1; that is exact because its padding is reflection.
    """
    state = load_file(path)
    backbone = Backbone(DISTILLED_WIDTHS, padding="reflect", inner_padding="reflect", deepest="relu5_1")
    backbone.mean.zero_()
    backbone.std.fill_(1)
    first, shift = state["conv11.weight"], state["conv0.bias"]
    state["conv11.weight"] = torch.einsum("oihw,ij->ojhw", first, state["conv0.weight"][:, :, 0, 0])
    state["conv11.bias"] = state["conv11.bias"] + torch.einsum("oihw,i->o", first, shift)
    names = {name: f"conv{name[4]}{name[6]}" for name in backbone.convs}
    backbone.convs.load_state_dict(
        {f"{k}.{p}": state[f"{v}.{p}"] for k, v in names.items() for p in ("weight", "bias")}
    )
    maps = {f"relu{b}_1": (state[f"conv{b}1_aux.weight"], state[f"conv{b}1_aux.bias"]) for b in range(1, 6)}
    return backbone.eval().requires_grad_(False), maps


class Crops:
    """Endless random crops of pictures in folders, strongly varied in scale, colour and texture.

    Args:
        folders: folders with pictures.
        size: side of the square crops in pixels.
        keep: predicate on a path; pictures it refuses are left for the evaluation.

    Raises:
        InputError: no pictures found.
    """

    def __init__(self, folders, size, keep=lambda path: True):
        paths = [path for path in find_pictures(folders) if keep(path)]
        self.pictures = [torch.from_numpy(np.array(Image.open(p).convert("RGB"))).permute(2, 0, 1) for p in paths]
        self.geometry = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.03, 1), ratio=(0.8, 1.25), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(0.2),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )
        self.colour = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.6, 0.5)], 0.7),
                v2.RandomInvert(0.05),
                v2.RandomPosterize(3, 0.1),
                v2.RandomApply([v2.RandomAdjustSharpness(4, 1)], 0.3),
                v2.RandomGrayscale(0.05),
            ]
        )

    def one(self):
        """A crop, shape (3, size, size), RGB in [0, 1]."""
        crop = self.geometry(random.choice(self.pictures))
        if random.random() < 0.15:  # a blend of two, which no photograph shows but a half-stylised picture does
            crop = torch.lerp(crop, self.geometry(random.choice(self.pictures)), random.random())
        crop = self.colour((crop * 255).byte()).float() / 255
        if random.random() < 0.3:  # optimised pictures are noisy on the way
            crop = crop + torch.randn_like(crop) * random.uniform(0, 0.15)
        return crop.clamp(0, 1)

    def batch(self, n):
        """``n`` crops, shape (n, 3, size, size)."""
        return torch.stack([self.one() for _ in range(n)]).contiguous(memory_format=torch.channels_last)


def embedded_gram(moments, embedding):
    """Gram matrices, shape (N, C', C'), of ``embedding(f)`` from the moments of ``f``; no map is needed."""
    a = embedding.weight.flatten(1)
    return a @ moments.gram @ a.T


def image_gradients(describe, image, goals, create_graph=False):
    """Gradients with respect to ``image`` of its distances to ``goals``, one per goal.

    Args:
        describe: callable ``(image, terms) -> {term: tensor}`` that gives Gram matrices (N, C, C) for the term
            ``("style", layer)`` and feature maps (N, C, h, w) for ``("content", layer)``.
        image: shape (N, 3, H, W).
        goals: ``{term: tensor}``; the i-th picture is compared with the i-th of each.

    Returns:
        ``{term: gradient}``, each of the shape of ``image``, of the losses without a unit of :mod:`nstlib.losses`.
    """
    image = image.detach().requires_grad_()
    with torch.enable_grad():
        found = describe(image, list(goals))
        # Relative squared distance: of Gram matrices it is the Gram loss, of feature maps the content loss.
        losses = {term: gram_distance(found[term].flatten(2), goal.flatten(2)).sum() for term, goal in goals.items()}
        return {
            term: torch.autograd.grad(loss, image, create_graph=create_graph, retain_graph=True)[0]
            for term, loss in losses.items()
        }


class Paintings:
    """Pictures on their way from a content to a style, painted by the network that is being trained.

    Each is the compromise of content and style that a transfer with a style weight of its own would look for.

    Args:
        crops: :class:`Crops`, where contents and styles come from.
        count: how many are painted side by side.
        strokes: how many steps a picture gets, on average, before a new one takes its place.
        stroke: size of a step, root mean square over the pixels.
        style_weights: smallest and largest style weight, for a content weight of 1.
    """

    STATE = ("images", "contents", "styles", "weights")

    def __init__(self, crops, count=16, strokes=24, stroke=0.03, style_weights=(3, 100)):
        self.crops, self.strokes, self.stroke, self.style_weights = crops, strokes, stroke, style_weights
        self.contents, self.styles = crops.batch(count), crops.batch(count)
        self.images, self.weights = torch.empty_like(self.contents), torch.empty(count)
        for index in range(count):
            self._start(index)
        self.shown = None

    def _start(self, index):
        self.contents[index], self.styles[index] = self.crops.one(), self.crops.one()
        # Noise, because a content loss of exactly 0 has no direction to compare.
        self.images[index] = self.contents[index] + 0.02 * torch.randn_like(self.contents[index])
        self.weights[index] = math.exp(random.uniform(*map(math.log, self.style_weights)))

    def batch(self, n):
        """``n`` of the pictures, their contents and their styles, each of shape (n, 3, H, W)."""
        self.shown = random.sample(range(len(self.images)), n)
        return self.images[self.shown], self.contents[self.shown], self.styles[self.shown]

    def paint(self, gradients):
        """Move the pictures shown last against ``{(kind, layer): gradient}``, each of shape (n, 3, H, W)."""
        for row, index in enumerate(self.shown):
            if random.random() < 1 / self.strokes:
                self._start(index)
                continue
            weights = {"content": 1, "style": self.weights[index] / len(STYLE_LAYERS)}
            move = sum(weights[kind] * g[row] for (kind, _), g in gradients.items())
            size = move.square().mean().sqrt().clamp(min=1e-12)
            self.images[index] = (self.images[index] - self.stroke * random.random() / size * move).clamp(0, 1)


class Normalized(Backbone):
    """A backbone with batch normalisation after every convolution, for the first part of the training."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.norms = nn.ModuleDict({name: nn.BatchNorm2d(conv.out_channels) for name, conv in self.convs.items()})

    def step(self, name, x, keep=()):
        x = super().step(name, x, keep)
        return self.norms[name](x) if name in self.norms else x

    def fold_into(self, plain):
        """Give ``plain`` the convolutions that compute what these and their normalisation compute in evaluation."""
        with torch.no_grad():
            for name, norm in self.norms.items():
                scale = norm.weight / (norm.running_var + norm.eps).sqrt()
                plain.convs[name].weight.copy_(self.convs[name].weight * scale.view(-1, 1, 1, 1))
                plain.convs[name].bias.copy_((self.convs[name].bias - norm.running_mean) * scale + norm.bias)


def new_student(kind):
    """A network of the compact one's shape, a :class:`Backbone` or a :class:`Normalized`."""
    return kind(ARCHITECTURES["compact"], deepest="relu5_1", inner_padding="replicate")


@dataclass
class Progress:
    """One training step: its number and the parts of its loss, ``{name: float}``."""

    step: int
    losses: dict
    seconds: float


class Distillation:
    """Train a compact network from scratch; iterate over it for one :class:`Progress` per step.

    Args:
        teacher: :class:`Teacher`.
        crops: :class:`Crops`.
        steps: length of the training; the learning rate follows one cosine over it.
        normalized_share: part of the training that runs with batch normalisation and without the gradient loss.
        batch_size: crops per step.
        learning_rate: peak of the cosine.
        seed: seeds weights and crops.
        checkpoint: file to save the whole state to every ``save_every`` steps, and to resume from if it exists.
    """

    def __init__(
        self, teacher, crops, *, steps=5000, normalized_share=0.4, batch_size=8, learning_rate=4e-3, seed=0,
        checkpoint=None, save_every=250,
    ):  # fmt: skip
        random.seed(seed)
        torch.manual_seed(seed)
        self.teacher, self.crops, self.steps, self.batch_size = teacher, crops, steps, batch_size
        self.fold_step, self.learning_rate = int(steps * normalized_share), learning_rate
        self.checkpoint, self.save_every = checkpoint, save_every
        self.paintings = Paintings(crops)
        self.student = new_student(Normalized)
        for conv in self.student.convs.values():
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        with torch.no_grad():
            examples = teacher(crops.batch(2 * batch_size))
        # VGG's activations reach thousands; maps that start near zero would take all the training to grow to them.
        self.scales = {layer: x.square().mean().sqrt() for layer, x in examples.items()}
        self.embeddings = nn.ModuleDict(
            {layer: nn.Conv2d(self.student.channels(layer), x.shape[1], 1, bias=False) for layer, x in examples.items()}
        )
        self.step = 0
        self._start_optimizer()
        if checkpoint and Path(checkpoint).exists():
            self._resume()

    def _start_optimizer(self):
        parameters = [*self.student.parameters(), *self.embeddings.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.9, 0.99))
        average = torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
        self.averaged = torch.optim.swa_utils.AveragedModel(
            nn.ModuleDict({"student": self.student, "embeddings": self.embeddings}),
            multi_avg_fn=average,
            use_buffers=True,
        )

    def _rate(self):
        warmup = min(1, (self.step + 1) / 100)
        folded = 1 if isinstance(self.student, Normalized) else 0.5
        return self.learning_rate * warmup * folded * (0.5 * (1 + math.cos(math.pi * self.step / self.steps)) + 0.002)

    def __iter__(self):
        while self.step < self.steps:
            started = time.monotonic()
            if self.step >= self.fold_step and isinstance(self.student, Normalized):
                self._fold()
            losses = self._losses()
            self.optimizer.param_groups[0]["lr"] = self._rate()
            self.optimizer.zero_grad(set_to_none=True)
            sum(losses.values()).backward()
            nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 5)
            self.optimizer.step()
            self.averaged.update_parameters(nn.ModuleDict({"student": self.student, "embeddings": self.embeddings}))
            self.step += 1
            if self.checkpoint and (self.step % self.save_every == 0 or self.step == self.steps):
                self._save()
            yield Progress(self.step, {k: v.item() for k, v in losses.items()}, time.monotonic() - started)

    def _fold(self):
        normalized, self.embeddings = self.averaged.module["student"], self.averaged.module["embeddings"]
        self.student = new_student(Backbone)
        normalized.fold_into(self.student)
        self._start_optimizer()

    def _describe(self, image, terms):
        maps, result = self.student(image, {layer for _, layer in terms}), {}
        for kind, layer in terms:
            embed = self.embeddings[layer]
            result[kind, layer] = (
                embedded_gram(Moments.of(maps[layer]), embed) if kind == "style" else embed(maps[layer])
            )
        return result

    def _teacher_describes(self, image, terms):
        maps = self.teacher(image, {layer for _, layer in terms})
        return {
            (kind, layer): Moments.of(maps[layer]).gram if kind == "style" else maps[layer] for kind, layer in terms
        }

    def _losses(self):
        half = self.batch_size // 2
        if self.step % 2 and not isinstance(self.student, Normalized):
            images, contents, styles = self.paintings.batch(half)
            losses = self._feature_losses(torch.cat([images, styles]))
            losses["gradients"], mine = self._gradient_loss(images, contents, styles)
            self.paintings.paint(mine)
            return losses
        images = self.crops.batch(self.batch_size)
        losses = self._feature_losses(images)
        if not isinstance(self.student, Normalized):
            losses["gradients"], _ = self._gradient_loss(images[:half], images[half:], images[half:])
        return losses

    def _feature_losses(self, images):
        with torch.no_grad():
            goals = {layer: x / self.scales[layer] for layer, x in self.teacher(images).items()}
        maps = self.student(images, self.teacher.layers)
        embedding = moments = torch.zeros(())
        for layer, goal in goals.items():
            embed = self.embeddings[layer]
            stride = max(1, goal.shape[-1] // 64)  # neighbouring pixels say the same; no need to embed them all
            few = goal[..., ::stride, ::stride]
            embedding = (
                embedding + (embed(maps[layer][..., ::stride, ::stride]) - few).square().sum() / few.square().sum()
            )
            if layer in STYLE_LAYERS:
                error = gram_distance(embedded_gram(Moments.of(maps[layer]), embed), Moments.of(goal).gram)
                # Not squared: a few odd crops, nearly black ones for instance, would drown the others.
                moments = moments + (error + 1e-6).sqrt().mean()
        return {"embedding": embedding, "moments": moments}

    def _gradient_loss(self, images, contents, styles):
        """One minus the cosine between the teacher's and the student's gradients of two losses; these gradients."""
        terms = random.sample([term for term in TERMS if term[1] in self.embeddings], 2)

        def compare(describe, **options):
            with torch.no_grad():
                goals = {}
                for source, kind in ((contents, "content"), (styles, "style")):
                    if own := [term for term in terms if term[0] == kind]:
                        goals.update(describe(source, own))
            return image_gradients(describe, images, goals, **options)

        theirs, mine = compare(self._teacher_describes), compare(self._describe, create_graph=True)
        loss = sum((1 - F.cosine_similarity(mine[t].flatten(1), theirs[t].flatten(1))).mean() for t in terms)
        return GRADIENT_WEIGHT * loss, {term: gradient.detach() for term, gradient in mine.items()}

    def export(self, path, description):
        """Write the averaged student and its maps as half-precision safetensors with ``{str: str}`` metadata."""
        student, embeddings = self.averaged.module["student"], self.averaged.module["embeddings"]
        if isinstance(student, Normalized):
            plain = new_student(Backbone)
            student.fold_into(plain)
            student = plain
        state = student.convs.state_dict()
        for layer, embedding in embeddings.items():
            state[f"{layer}.map"] = torch.linalg.qr(embedding.weight.detach().flatten(1))[1]
        save_file({key: value.half().contiguous() for key, value in state.items()}, path, metadata=description)

    def _save(self):
        state = {
            "step": self.step, "student": self.student.state_dict(), "embeddings": self.embeddings.state_dict(),
            "averaged": self.averaged.state_dict(), "optimizer": self.optimizer.state_dict(),
            "paintings": {name: getattr(self.paintings, name) for name in Paintings.STATE},
            "torch_rng": torch.get_rng_state(), "python_rng": random.getstate(),
        }  # fmt: skip
        write_state(state, self.checkpoint)

    def _resume(self):
        state = read_state(self.checkpoint)
        self.step = state["step"]
        if not any(key.startswith("norms") for key in state["student"]):
            self._fold()
        self.student.load_state_dict(state["student"])
        self.embeddings.load_state_dict(state["embeddings"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in Paintings.STATE:
            setattr(self.paintings, name, state["paintings"][name])
        torch.set_rng_state(state["torch_rng"])
        random.setstate(state["python_rng"])


def main(arguments=None):
    """``python -m nstlib.distill FOLDER ... -o compact.safetensors``"""
    parser = argparse.ArgumentParser(prog="python -m nstlib.distill", description="Train the compact network.")
    parser.add_argument("folders", nargs="+", help="folders with pictures to train on")
    parser.add_argument("-o", "--output", default="compact.safetensors")
    parser.add_argument("--vgg19", help="VGG-19 weights file; without it torchvision's are fetched")
    parser.add_argument("--distilled", help="16x distilled encoder, the teacher above relu3_1")
    parser.add_argument("--hold-out", nargs="*", default=[], help="file names left for the evaluation")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the teacher")
    parser.add_argument("--checkpoint", default="distill.pt")
    parser.add_argument("--log", default="distill.csv")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.precision)
    if options.distilled:
        teacher = Teacher.from_files(options.vgg19, options.distilled, dtype)
        sources = "VGG-19 (Simonyan & Zisserman, CC BY 4.0); Collaborative Distillation 16x (Wang et al. 2020, MIT)"
    else:
        teacher, sources = Teacher.vgg19(dtype=dtype), "VGG-19 (Simonyan & Zisserman, CC BY 4.0)"
    crops = Crops(options.folders, options.crop, keep=lambda path: path.name not in options.hold_out)
    training = Distillation(
        teacher, crops, steps=options.steps, batch_size=options.batch_size,
        learning_rate=options.learning_rate, checkpoint=options.checkpoint,
    )  # fmt: skip
    names = ("embedding", "moments", "gradients")
    smooth = {}
    with open(options.log, "a") as log:
        for progress in training:
            for name, value in progress.losses.items():
                smooth[name] = 0.98 * smooth.get(name, value) + 0.02 * value
            if progress.step % 50 == 0:
                row = [f"{smooth.get(name, float('nan')):.5f}" for name in names]
                print(progress.step, *row, f"{progress.seconds:.2f}", sep=",", file=log, flush=True)
    training.export(options.output, {"teachers": sources, "steps": str(options.steps), "made by": "nstlib.distill"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
