"""Train the compact network: a VGG-19 with a quarter of the channels whose losses and gradients are VGG-19's.

The student is trained from scratch. Each layer that it shares with the teacher gets a 1x1 convolution into the
teacher's channels (a *linear embedding*, Wang et al., CVPR 2020), trained together with the student on three losses:

1. *Embedding*: the embedded features equal the teacher's.
2. *Moments*: their Gram matrices equal the teacher's, as these are what a style loss compares.
3. *Gradients*: the gradients of style and content losses with respect to a picture have the direction of the
   teacher's. An optimised picture follows these gradients, and no loss on features constrains them. In every other
   step the pictures are ones that the student itself is stylising: errors of its gradients add up along its own path.

Plain VGGs learn slowly from random weights, so the first part of the training normalises every convolution's output
over the batch. The normalisation is then folded into the convolutions, and the gradient loss is added, which needs the
gradient of each picture alone.
"""

import copy
import sys

import torch
import torch.nn.functional as F
from torch.optim import swa_utils

from ..ambient import own_random, plain_torch, usable_device
from ..checks import positive, share, whole
from ..errors import InputError
from ..features.backbone import STYLE_LAYERS
from ..losses import gram_distance
from ..moments import Moments
from .command import make_parser, prepare, run
from .data import Crops
from .export import export_weights
from .gradients import TERMS, image_gradients
from .loop import TrainingState, cosine, train, warm_up
from .student import Student, embedded_gram
from .student_images import StudentImages
from .teacher import Teacher

#: Weight of the gradient loss, which decides how well pictures can be optimised. The other two make it learnable.
GRADIENT_WEIGHT = 3.0


class Distillation:
    """Train a compact network from scratch; iterate for one :class:`~nstlib.training.loop.TrainingStep` per step.

    The caller's random numbers and networks stay as they are.

    Args:
        teacher: :class:`~nstlib.training.teacher.Teacher`.
        crops: :class:`~nstlib.training.data.Crops`.
        steps: length of the training; the learning rate follows one cosine over it.
        normalized_share: part of the training that runs with batch normalisation and without the gradient loss.
        batch_size: crops per step, at least 2.
        learning_rate: peak of the cosine; halved once the normalisation is folded.
        seed: of the weights and crops.
        checkpoint: file to save the whole state to every ``save_every`` steps, and to resume from if it exists.
        device: of the networks.

    Attributes:
        student: :class:`~nstlib.training.student.Student`.
        student_images: :class:`~nstlib.training.student_images.StudentImages`.

    Raises:
        InputError: numbers out of range, a teacher with too few layers, a checkpoint of another training or one that
            cannot be written, or a device that this machine does not have.
        Diverged: while iterating, when the gradient is not finite; the weights stay as they were.
    """

    LOSSES = ("embedding", "moments", "gradients")

    @plain_torch()
    def __init__(
        self,
        teacher,
        crops,
        *,
        steps=5000,
        normalized_share=0.4,
        batch_size=8,
        learning_rate=4e-3,
        seed=0,
        checkpoint=None,
        save_every=250,
        device="cpu",
    ):
        self.steps, self.batch_size = whole("steps", steps), whole("batch_size", batch_size, 2)
        self.fold_step = int(self.steps * share("normalized_share", normalized_share))
        self.learning_rate, self.device = positive("learning_rate", learning_rate), usable_device(device)
        self.state = TrainingState(seed, checkpoint, save_every)
        self.terms = [term for term in TERMS if term[1] in teacher.layers]
        if len(self.terms) < 2:
            raise InputError(f"the teacher must give layers for at least two of {TERMS}; it gives {teacher.layers}")
        self.teacher, self.crops = copy.deepcopy(teacher).to(self.device), crops
        with torch.no_grad():
            examples = self.teacher(self._crops(2 * self.batch_size))
        # VGG's activations reach thousands; embeddings would take most of the training to grow to that.
        self.scales = {layer: x.square().mean().sqrt() for layer, x in examples.items()}
        with own_random(self.state.seed):
            student = Student({layer: x.shape[1] for layer, x in examples.items()}).to(self.device)
        self.student_images = StudentImages(crops, self.state.rng, count=max(16, self.batch_size))
        self._start(student)
        self.state.resume(prepare=self._match)

    def __iter__(self):
        if self.student.backbone.norms:
            yield from self._train(self._feature_step, self.fold_step, self.learning_rate)
            self._fold()
        yield from self._train(self._gradient_step, self.steps, self.learning_rate / 2)

    def _train(self, losses, until, peak):
        def rate(step):
            return peak * warm_up(step, 100) * (cosine(step, self.steps) + 0.002)

        return train(self.state, losses, until=until, rate=rate, clip=5)

    def _start(self, student):
        self.student = student
        optimizer = torch.optim.Adam(student.parameters(), lr=self.learning_rate, betas=(0.9, 0.99))
        average = swa_utils.AveragedModel(student, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True)
        self.state.start(student, optimizer, average=average, student_images=self.student_images)

    @plain_torch()
    def _fold(self):
        student = self.state.average.module
        student.backbone.fold()
        self._start(student)

    def _match(self, saved):
        if not any("norms" in name for name in saved["model"]):
            self._fold()

    def _crops(self, n):
        return self.crops.batch(n, self.state.rng.getrandbits(63)).to(self.device)

    def _feature_step(self):
        return self._feature_losses(self._crops(self.batch_size))

    def _gradient_step(self):
        half = self.batch_size // 2
        if self.state.step % 2:
            images, contents, styles = (x.to(self.device) for x in self.student_images.batch(half))
            losses = self._feature_losses(torch.cat([images, styles]))
            losses["gradients"], gradients = self._gradient_loss(images, contents, styles)
            self.student_images.update(gradients)
        else:
            images = self._crops(self.batch_size)
            losses = self._feature_losses(images)
            losses["gradients"], _ = self._gradient_loss(images[:half], images[-half:], images[-half:])
        return losses

    def _feature_losses(self, images):
        with torch.no_grad():
            targets = {layer: x / self.scales[layer] for layer, x in self.teacher(images).items()}
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
        """One minus the cosine of the teacher's and the student's gradients of two losses; the latter gradients."""
        terms = self.state.rng.sample(self.terms, 2)

        def gradients(network, **options):
            targets = {}
            with torch.no_grad():
                for source, kind in ((contents, "content"), (styles, "style")):
                    if own := [term for term in terms if term[0] == kind]:
                        targets.update(network.describe(source, own))
            return image_gradients(network, images, targets, **options)

        theirs, own = gradients(self.teacher), gradients(self.student, create_graph=True)
        loss = sum((1 - F.cosine_similarity(own[t].flatten(1), theirs[t].flatten(1))).mean() for t in terms)
        return GRADIENT_WEIGHT * loss, {term: gradient.detach() for term, gradient in own.items()}

    @plain_torch()
    def export(self, path, description):
        """Write the averaged student as half-precision safetensors for ``load_backbone("compact", weights=path)``.

        Args:
            path: of the file.
            description: ``{str: str}``, the file's metadata.

        Raises:
            InputError: the file cannot be written there.
        """
        student = copy.deepcopy(self.state.average.module)
        student.backbone.fold()
        export_weights(student.weights(), path, description)


def main(arguments=None):
    """``python -m nstlib.training.distill FOLDER ... -o compact.safetensors``"""
    parser = make_parser("nstlib.training.distill", "Train the compact network.", steps=5000)
    parser.add_argument("--vgg19", help="VGG-19 weights file, by default that of nstlib[vgg19]")
    parser.add_argument("--distilled", help="16x distilled encoder, the teacher above relu3_1")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the teacher")
    options = parser.parse_args(arguments)
    prepare(options, "compact")
    dtype = getattr(torch, options.precision)
    if options.distilled:
        teacher = Teacher.from_files(options.vgg19, options.distilled, dtype)
        sources = "VGG-19 (Simonyan & Zisserman, CC BY 4.0); Collaborative Distillation 16x (Wang et al. 2020, MIT)"
    else:
        teacher, sources = Teacher.vgg19(weights=options.vgg19, dtype=dtype), "VGG-19 (Simonyan & Zisserman, CC BY 4.0)"
    crops = Crops(options.folders, options.crop, keep=lambda path: path.name not in options.hold_out)
    training = Distillation(
        teacher,
        crops,
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        checkpoint=options.checkpoint,
        device=options.device,
    )
    made_by = {"teachers": sources, "steps": str(options.steps), "made by": "nstlib.training.distill"}
    run(training, options, made_by)
    return 0


if __name__ == "__main__":
    sys.exit(main())
