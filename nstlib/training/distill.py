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
import copy
import math
import random
import sys
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from ..ambient import ordinary, own_random, plain_torch, usable_device
from ..checkpoints import read_state, write_state
from ..checks import positive, share, whole
from ..errors import Diverged, InputError
from ..features.backbone import ARCHITECTURES, STYLE_LAYERS, Backbone
from ..files import check_destination, written_whole
from ..losses import gram_distance
from ..moments import Moments
from .data import Crops, Paintings
from .teacher import Teacher

#: Of the gradient loss. It decides how well pictures can be optimised; the others are the way there.
GRADIENT_WEIGHT = 3.0
#: The losses whose gradients are compared, as (kind, layer).
TERMS = (*(("style", layer) for layer in STYLE_LAYERS), ("content", "relu4_1"), ("content", "relu4_2"))


def embedded_gram(moments, embedding):
    """Gram matrices, shape (N, C', C'), of ``embedding(f)`` from the moments of ``f``; no map is needed."""
    a = embedding.weight.flatten(1)
    return a @ moments.gram @ a.T


@plain_torch()
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
    image = ordinary(image).detach().requires_grad_()
    goals = {term: ordinary(goal) for term, goal in goals.items()}
    found = describe(image, list(goals))
    # Relative squared distance: of Gram matrices it is the Gram loss, of feature maps the content loss.
    losses = {term: gram_distance(found[term].flatten(2), goal.flatten(2)).sum() for term, goal in goals.items()}
    return {
        term: torch.autograd.grad(loss, image, create_graph=create_graph, retain_graph=True)[0]
        for term, loss in losses.items()
    }


class Normalized(Backbone):
    """A backbone with batch normalisation after every convolution, for the first part of the training."""

    @plain_torch()
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.norms = nn.ModuleDict(
            {name: nn.BatchNorm2d(conv.out_channels, dtype=torch.float32) for name, conv in self.convs.items()}
        )

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
    return kind(ARCHITECTURES["compact"], deepest="relu5_1", padding="replicate")


@dataclass
class Progress:
    """One training step: its number and the parts of its loss, ``{name: float}``."""

    step: int
    losses: dict
    seconds: float


class Distillation:
    """Train a compact network from scratch; iterate over it for one :class:`Progress` per step.

    The caller's random numbers and networks stay as they are.

    Args:
        teacher: :class:`~nstlib.training.teacher.Teacher`.
        crops: :class:`~nstlib.training.data.Crops`.
        steps: length of the training; the learning rate follows one cosine over it.
        normalized_share: part of the training that runs with batch normalisation and without the gradient loss.
        batch_size: crops per step, at least 2.
        learning_rate: peak of the cosine.
        seed: seeds weights and crops.
        checkpoint: file to save the whole state to every ``save_every`` steps, and to resume from if it exists.
        device: of the networks.

    Raises:
        InputError: numbers that make no sense, a checkpoint of another training or one that cannot be written, or a
            device that this machine does not have.
        Diverged: from a step, before it spoils the weights.
    """

    @plain_torch()
    def __init__(
        self, teacher, crops, *, steps=5000, normalized_share=0.4, batch_size=8, learning_rate=4e-3, seed=0,
        checkpoint=None, save_every=250, device="cpu",
    ):  # fmt: skip
        self.steps, self.batch_size = whole("steps", steps), whole("batch_size", batch_size, 2)
        self.fold_step = int(self.steps * share("normalized_share", normalized_share))
        self.learning_rate, self.save_every = positive("learning_rate", learning_rate), whole("save_every", save_every)
        seed, self.device = whole("seed", seed, 0), usable_device(device)
        self.checkpoint = None if checkpoint is None else check_destination(checkpoint)
        self.terms = [term for term in TERMS if term[1] in teacher.layers]
        if len(self.terms) < 2:
            raise InputError(f"the teacher must give layers for at least two of {TERMS}; it gives {teacher.layers}")
        self.teacher, self.crops = copy.deepcopy(teacher).to(self.device), crops
        self.rng = random.Random(seed)
        with own_random(seed):
            self.student = new_student(Normalized)
            for conv in self.student.convs.values():
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                nn.init.zeros_(conv.bias)
            self.student.to(self.device)
            with torch.no_grad():
                examples = self.teacher(self._crops(2 * self.batch_size))
            # VGG's activations reach thousands; maps that start near zero would take all the training to grow to them.
            self.scales = {layer: x.square().mean().sqrt() for layer, x in examples.items()}
            self.embeddings = nn.ModuleDict(
                {
                    layer: nn.Conv2d(self.student.channels(layer), x.shape[1], 1, bias=False, dtype=torch.float32)
                    for layer, x in examples.items()
                }
            ).to(self.device)
        self.paintings = Paintings(crops, self.rng, count=max(16, self.batch_size))
        self.step = 0
        self._start_optimizer()
        if self.checkpoint and self.checkpoint.exists():
            self._resume()

    def _crops(self, n):
        return self.crops.batch(n, self.rng.getrandbits(63)).to(self.device)

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
            yield self._advance()

    @plain_torch()
    @own_random()
    def _advance(self):
        started = time.monotonic()
        if self.step >= self.fold_step and isinstance(self.student, Normalized):
            self._fold()
        losses = self._losses()
        self.optimizer.param_groups[0]["lr"] = self._rate()
        self.optimizer.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        norm = nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 5)
        if not norm.isfinite():
            raise Diverged(f"the gradient became NaN or infinite at step {self.step + 1}: lower learning_rate")
        self.optimizer.step()
        self.averaged.update_parameters(nn.ModuleDict({"student": self.student, "embeddings": self.embeddings}))
        self.step += 1
        if self.checkpoint and (self.step % self.save_every == 0 or self.step == self.steps):
            self._save()
        return Progress(self.step, {k: v.item() for k, v in losses.items()}, time.monotonic() - started)

    def _fold(self):
        normalized, self.embeddings = self.averaged.module["student"], self.averaged.module["embeddings"]
        self.student = new_student(Backbone).to(self.device)
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
            images, contents, styles = (x.to(self.device) for x in self.paintings.batch(half))
            losses = self._feature_losses(torch.cat([images, styles]))
            losses["gradients"], mine = self._gradient_loss(images, contents, styles)
            self.paintings.paint(mine)
            return losses
        images = self._crops(self.batch_size)
        losses = self._feature_losses(images)
        if not isinstance(self.student, Normalized):
            losses["gradients"], _ = self._gradient_loss(images[:half], images[-half:], images[-half:])
        return losses

    def _feature_losses(self, images):
        with torch.no_grad():
            goals = {layer: x / self.scales[layer] for layer, x in self.teacher(images).items()}
        maps = self.student(images, self.teacher.layers)
        embedding = moments = torch.zeros((), dtype=torch.float32, device=self.device)
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
        terms = self.rng.sample(self.terms, 2)

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

    @plain_torch()
    @own_random()
    def export(self, path, description):
        """Write the averaged student and its maps as half-precision safetensors with ``{str: str}`` metadata."""
        path = check_destination(path)
        student, embeddings = self.averaged.module["student"], self.averaged.module["embeddings"]
        if isinstance(student, Normalized):
            plain = new_student(Backbone).to(self.device)
            student.fold_into(plain)
            student = plain
        state = student.convs.state_dict()
        for layer, embedding in embeddings.items():
            state[f"{layer}.map"] = torch.linalg.qr(embedding.weight.detach().flatten(1))[1]
        with written_whole(path) as part:
            save_file({key: value.half().cpu().contiguous() for key, value in state.items()}, part, description)

    def _save(self):
        state = {
            "step": self.step, "student": self.student.state_dict(), "embeddings": self.embeddings.state_dict(),
            "averaged": self.averaged.state_dict(), "optimizer": self.optimizer.state_dict(),
            "paintings": {name: getattr(self.paintings, name) for name in Paintings.STATE},
            "random": self.rng.getstate(),
        }  # fmt: skip
        write_state(state, self.checkpoint)

    def _resume(self):
        state = read_state(self.checkpoint)
        try:
            self.step = state["step"]
            if not any(key.startswith("norms") for key in state["student"]):
                self._fold()
            self.student.load_state_dict(state["student"])
            self.embeddings.load_state_dict(state["embeddings"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            for name in Paintings.STATE:
                if state["paintings"][name].shape != getattr(self.paintings, name).shape:
                    raise ValueError("other crops or another batch_size")
                setattr(self.paintings, name, state["paintings"][name])
            self.rng.setstate(state["random"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            why = str(error).partition("\n")[0]
            raise InputError(f"{self.checkpoint} is not a checkpoint of this training: {why}") from None


def main(arguments=None):
    """``python -m nstlib.training.distill FOLDER ... -o compact.safetensors``"""
    parser = argparse.ArgumentParser(prog="python -m nstlib.training.distill", description="Train the compact network.")
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
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    output, log = check_destination(options.output), check_destination(options.log)
    dtype = getattr(torch, options.precision)
    if options.distilled:
        teacher = Teacher.from_files(options.vgg19, options.distilled, dtype)
        sources = "VGG-19 (Simonyan & Zisserman, CC BY 4.0); Collaborative Distillation 16x (Wang et al. 2020, MIT)"
    else:
        teacher, sources = Teacher.vgg19(dtype=dtype), "VGG-19 (Simonyan & Zisserman, CC BY 4.0)"
    crops = Crops(options.folders, options.crop, keep=lambda path: path.name not in options.hold_out)
    training = Distillation(
        teacher, crops, steps=options.steps, batch_size=options.batch_size,
        learning_rate=options.learning_rate, checkpoint=options.checkpoint, device=options.device,
    )  # fmt: skip
    names = ("embedding", "moments", "gradients")
    smooth = {}
    with open(log, "a") as log:
        for progress in training:
            for name, value in progress.losses.items():
                smooth[name] = 0.98 * smooth.get(name, value) + 0.02 * value
            if progress.step % 50 == 0:
                row = [f"{smooth.get(name, float('nan')):.5f}" for name in names]
                print(progress.step, *row, f"{progress.seconds:.2f}", sep=",", file=log, flush=True)
    training.export(output, {"teachers": sources, "steps": str(options.steps), "made by": "nstlib.training.distill"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
