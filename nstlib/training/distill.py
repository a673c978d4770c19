"""Train the compact network: a VGG-19 with fewer channels whose losses and gradients are VGG-19's.

The student begins as its teacher with the most telling channels kept (:mod:`~nstlib.training.reduction`). Each layer
gets a 1x1 convolution into the teacher's channels (a *linear embedding*, Wang et al., CVPR 2020). Student and
embeddings are trained together on three losses:

1. *Embedding*: the embedded features equal the teacher's.
2. *Moments*: their Gram matrices equal the teacher's, as these are what a style loss compares.
3. *Gradients*: the gradients of style and content losses with respect to a picture are the teacher's. An optimised
   picture follows these gradients, and no loss on features constrains them. In three of four steps the pictures are
   ones that the student itself is painting: errors of its gradients add up along its own path, and show only there.
"""

import copy
import sys

import torch
from torch.optim import swa_utils

from ..ambient import own_random, plain_torch, usable_device
from ..checks import positive, whole
from ..distributed import process_group
from ..errors import InputError
from ..features.backbone import STYLE_LAYERS
from ..features.pretrained import load_backbone
from ..losses import gram_distance
from ..moments import Moments
from .command import make_parser, prepare, run
from .data import Crops
from .export import export_weights
from .gradients import TERMS, gradient_distance, image_gradients
from .loop import TrainingState, cosine, train, warm_up
from .student import Student, embedded_gram
from .student_images import StudentImages
from .teacher import LAYERS, Teacher

#: Weight of the gradient loss, which decides how well pictures can be optimised. The other two keep it honest.
GRADIENT_WEIGHT = 3.0
#: Student images of a scale for each one in a step: while one waits for its turn, the network changes.
POOL = 6


class Distillation:
    """Train a compact network; iterate for one :class:`~nstlib.training.loop.TrainingStep` per step.

    The caller's random numbers and networks stay as they are.

    Args:
        backbone: the teacher, a :class:`~nstlib.features.Backbone` with the layers ``LAYERS``.
        crops: :class:`~nstlib.training.data.Crops`; its size is the smallest of the pictures trained on.
        steps: length of the training; the learning rate follows one cosine over it.
        batch_size: crops per step, at least 2.
        scales: sizes of the student's pictures, in multiples of the crops' size, in turn; of larger ones there are
            fewer in a step.
        learning_rate: peak of the cosine.
        examples: number of crops that the student's channels are chosen by.
        seed: of the crops.
        checkpoint: file to save the whole state to every ``save_every`` steps, and to resume from if it exists.
        device: of the networks.

    Attributes:
        teacher: :class:`~nstlib.training.teacher.Teacher`, with a copy of ``backbone``.
        student: :class:`~nstlib.training.student.Student`.
        student_images: one :class:`~nstlib.training.student_images.StudentImages` per scale.
        counts: pictures in a step, per scale.

    Raises:
        InputError: numbers out of range, a teacher that lacks layers, a checkpoint of another training or one that
            cannot be written, or a device that this machine does not have.
        Diverged: while iterating, when the gradient is not finite; the weights stay as they were.
    """

    LOSSES = ("embedding", "moments", "gradients")

    @plain_torch()
    def __init__(
        self,
        backbone,
        crops,
        *,
        steps=5000,
        batch_size=8,
        scales=(1, 1.5, 2, 3),
        learning_rate=1e-3,
        examples=128,
        seed=0,
        checkpoint=None,
        save_every=250,
        device="cpu",
    ):
        self.steps, self.batch_size = whole("steps", steps), whole("batch_size", batch_size, 2)
        self.learning_rate, self.device = positive("learning_rate", learning_rate), usable_device(device)
        examples, scales = whole("examples", examples), [positive("scales", scale) for scale in scales]
        if not scales:
            raise InputError("scales must hold at least one size of the student's pictures")
        self.state = TrainingState(seed, checkpoint, save_every)
        if missing := [layer for layer in LAYERS if layer not in backbone.layers]:
            raise InputError(f"the teacher must give the layers {', '.join(LAYERS)}; it lacks {', '.join(missing)}")
        self.crops = crops
        images = self._crops(examples)
        with own_random(self.state.seed), torch.no_grad():
            self.teacher = Teacher(copy.deepcopy(backbone).to(self.device), LAYERS, images)
            self.teacher.requires_grad_(False).to(memory_format=torch.channels_last)
            self.student = Student(self.teacher, images).to(memory_format=torch.channels_last)
        self.counts = [max(1, round(self.batch_size / scale**2)) for scale in scales]
        self.student_images = [
            StudentImages(crops, self.state.rng, round(crops.size * scale), POOL * count)
            for scale, count in zip(scales, self.counts, strict=True)
        ]
        optimizer = torch.optim.Adam(self.student.parameters(), lr=self.learning_rate, betas=(0.9, 0.99))
        average = swa_utils.AveragedModel(self.student, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.998))
        images = {f"student_images_{index}": images for index, images in enumerate(self.student_images)}
        self.state.start(self.student, optimizer, average=average, **images)
        self.state.resume()

    def __iter__(self):
        return train(self.state, self._losses, until=self.steps, rate=self._rate, clip=5)

    def _rate(self, step):
        return self.learning_rate * warm_up(step, 100) * (cosine(step, self.steps) + 0.002)

    def _crops(self, n):
        return self.crops.batch(n, self.state.rng.getrandbits(63)).to(self.device)

    def _losses(self):
        turn, rest = divmod(self.state.step, 4)  # of four steps one is on crops, three on student images
        if rest == 0:
            images = self._crops(self.batch_size)
            half = self.batch_size // 2
            losses = self._feature_losses(images)
            losses["gradients"], _ = self._gradient_loss(images[:half], images[-half:], images[-half:])
            return losses
        index = (3 * turn + rest - 1) % len(self.student_images)
        pool = self.student_images[index]
        images, contents, styles = (x.to(self.device) for x in pool.batch(self.counts[index]))
        losses = self._feature_losses(torch.cat([images, styles]))
        losses["gradients"], gradients = self._gradient_loss(images, contents, styles)
        pool.update(gradients["content"].to(pool.images), gradients["style"].to(pool.images))
        return losses

    def _feature_losses(self, images):
        with torch.no_grad():
            targets = self.teacher(images)
        features = self.student.backbone(images, self.teacher.layers)
        embedding = moments = torch.zeros((), dtype=torch.float32, device=self.device)
        for layer, target in targets.items():
            embed = self.student.embeddings[layer]
            stride = max(1, target.shape[-1] // 64)  # neighbouring pixels are alike; a sample of them is enough
            some = target[..., ::stride, ::stride]
            error = embed(features[layer][..., ::stride, ::stride]) - some
            embedding = embedding + error.square().sum() / some.square().sum()
            if layer in STYLE_LAYERS:
                error = gram_distance(embedded_gram(Moments.of(features[layer]), embed), Moments.of(target).gram)
                # Not squared: a few odd crops, nearly black ones for instance, would outweigh all others.
                moments = moments + (error + 1e-6).sqrt().mean()
        return {"embedding": embedding, "moments": moments}

    def _gradient_loss(self, images, contents, styles):
        """How far the student's gradients are from the teacher's, and the student's: style, content, and one layer."""
        style, content = TERMS[:-1], TERMS[-1:]
        groups = {"style": style, "content": content, "layer": [self.state.rng.choice(style)]}

        def gradients(network, **options):
            # Not without gradients: the student's targets change with its weights too, and its gradients with them.
            targets = network.describe(styles, style) | network.describe(contents, content)
            return image_gradients(network, images, targets, groups, **options)

        theirs, own = gradients(self.teacher), gradients(self.student, create_graph=True)
        loss = sum(gradient_distance(own[name], theirs[name]).mean() for name in groups) / len(groups)
        return GRADIENT_WEIGHT * loss, {name: gradient.detach() for name, gradient in own.items()}

    @plain_torch()
    def export(self, path, description):
        """Write the averaged student as half-precision safetensors for ``load_backbone("compact", weights=path)``.

        Args:
            path: of the file.
            description: ``{str: str}``, the file's metadata.

        Raises:
            InputError: the file cannot be written there.
        """
        export_weights(self.state.average.module.weights(), path, description)


@process_group()
def main(arguments=None):
    """``python -m nstlib.training.distill FOLDER ... -o compact.safetensors``"""
    parser = make_parser("nstlib.training.distill", "Train the compact network.", steps=5000)
    parser.add_argument("--vgg19", help="VGG-19 weights file, by default that of nstlib[vgg19]")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    options = parser.parse_args(arguments)
    prepare(options, "compact")
    crops = Crops(
        options.folders, options.crop, keep=lambda path: path.name not in options.hold_out, device=options.device
    )
    training = Distillation(
        load_backbone("vgg19", weights=options.vgg19),
        crops,
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        checkpoint=options.checkpoint,
        device=options.device,
    )
    teacher = "VGG-19 (Simonyan & Zisserman, CC BY 4.0)"
    run(training, options, {"teacher": teacher, "steps": str(options.steps), "made by": "nstlib.training.distill"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
