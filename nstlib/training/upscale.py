"""Train an upscaler: it learns to undo the bicubic reduction of photographs.

``python -m nstlib.training.upscale FOLDER ... --scale 2 -o upscale_x2.safetensors``
"""

import sys

import torch

from ..ambient import own_random, plain_torch, usable_device
from ..checks import positive, whole
from ..distributed import process_group, rank
from ..errors import InputError
from ..images import load_image, resize
from ..metrics import psnr
from ..networks.upscale import SCALES, Upscaler, load_upscaler, upscale_tensor
from ..pictures.sources import find_pictures
from .command import make_parser, prepare, run
from .export import export_weights
from .loop import TrainingState, cosine, train, warm_up


class UpscalerTraining:
    """Train an upscaler from scratch; iterate for one :class:`~nstlib.training.loop.TrainingStep` per step.

    The loss is the mean absolute error, which gives sharper pictures than the squared one. The caller's random numbers
    stay as they are.

    Args:
        folders: folders with pictures.
        scale: 2, 3 or 4.
        steps: length of the training; the learning rate follows one cosine over it.
        batch_size, crop: crops per step, and their side in pixels of the small pictures.
        learning_rate: peak of the cosine.
        keep: predicate on a path; pictures it refuses are left for the evaluation.
        seed: of the weights and crops.
        checkpoint: file to save the whole state to every ``save_every`` steps, and to resume from if it exists.
        device: of the network.

    Attributes:
        model: the :class:`~nstlib.networks.upscale.Upscaler`.

    Raises:
        InputError: no picture in the folders is large enough, numbers out of range, a checkpoint of another training
            or one that cannot be written, or a device that this machine does not have.
        Diverged: while iterating, when the gradient is not finite; the weights stay as they were.
    """

    LOSSES = ("absolute_error",)

    @plain_torch()
    def __init__(
        self,
        folders,
        scale,
        *,
        steps=6000,
        batch_size=16,
        crop=40,
        learning_rate=2e-3,
        keep=lambda path: True,
        seed=0,
        checkpoint=None,
        save_every=250,
        device="cpu",
    ):
        self.steps, self.batch_size, self.crop = (
            whole(what, value) for what, value in (("steps", steps), ("batch_size", batch_size), ("crop", crop))
        )
        self.learning_rate, self.device = positive("learning_rate", learning_rate), usable_device(device)
        self.state = TrainingState(seed, checkpoint, save_every)
        with own_random(self.state.seed):
            self.model = Upscaler(scale).to(self.device, memory_format=torch.channels_last)
        self.pairs = self._load_pairs(folders, keep)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.learning_rate, betas=(0.9, 0.99))
        self.state.start(self.model, optimizer)
        self.state.resume()

    def __iter__(self):
        return train(self.state, self._losses, until=self.steps, rate=self._rate, clip=1)

    def export(self, path, description):
        """Write the weights as half-precision safetensors for ``load_upscaler(weights=path)``.

        Args:
            path: of the file.
            description: ``{str: str}``, the file's metadata.

        Raises:
            InputError: the file cannot be written there.
        """
        export_weights(self.model.state_dict(), path, description)

    def _load_pairs(self, folders, keep):
        """Small and large version of each picture that is large enough, as bytes, shape (3, H, W)."""
        scale, pairs = self.model.scale, []
        for large in (load_image(path) for path in find_pictures(folders) if keep(path)):
            small = shrink(large, scale)
            if min(small.shape[2:]) >= self.crop:
                # Rounded, as the small picture in a file would be.
                pairs.append(tuple((image[0] * 255).round().byte() for image in (small, large)))
        if not pairs:
            least = self.crop * scale
            raise InputError(f"no pictures of at least {least} pixels a side in {', '.join(map(str, folders))}")
        return pairs

    def _rate(self, step):
        return self.learning_rate * (warm_up(step, 50) * cosine(step, self.steps) + 1e-3)

    def _losses(self):
        small, large = self._batch()
        return {"absolute_error": (self.model(small) - large).abs().mean()}

    def _batch(self):
        """Crops and their large versions, turned and mirrored at random."""
        smalls, larges = [], []
        scale, rng = self.model.scale, self.state.rng
        for _ in range(self.batch_size):
            small, large = rng.choice(self.pairs)
            y, x = (rng.randrange(side - self.crop + 1) for side in small.shape[1:])
            small = small[:, y : y + self.crop, x : x + self.crop]
            large = large[:, y * scale : (y + self.crop) * scale, x * scale : (x + self.crop) * scale]
            turns, mirrored = rng.randrange(4), rng.random() < 0.5
            for crop, crops in ((small, smalls), (large, larges)):
                turned = crop.rot90(turns, (1, 2))
                crops.append(turned.flip(2) if mirrored else turned)
        return tuple(
            torch.stack(crops).to(self.device).contiguous(memory_format=torch.channels_last).float() / 255
            for crops in (smalls, larges)
        )


def shrink(image, scale):
    """Bicubic reduction with antialiasing, as MATLAB's ``imresize``.

    Args:
        image: RGB in [0, 1], shape (N, 3, H, W); its sides are first cut to multiples of ``scale``.
        scale: whole number.

    Returns:
        Shape (N, 3, H // scale, W // scale).

    Raises:
        InputError: the picture has fewer than ``scale`` pixels a side.
    """
    scale = whole("scale", scale)
    height, width = size = [side // scale for side in image.shape[2:]]
    if not height or not width:
        raise InputError(f"cannot shrink {image.shape[3]} x {image.shape[2]} pixels {scale} times")
    return resize(image[..., : height * scale, : width * scale], size)


def evaluate(model, pictures):
    """Mean PSNR over pictures that are shrunk and enlarged again.

    Args:
        model: from :func:`~nstlib.networks.upscale.load_upscaler`.
        pictures: each whatever :func:`~nstlib.images.load_image` takes.

    Returns:
        ``(the model's, that of bicubic interpolation)``, in dB; see :func:`~nstlib.metrics.psnr`.

    Raises:
        InputError: no pictures, or one too small.
    """
    results = []
    for picture in map(load_image, pictures):
        small = shrink(picture, model.scale).mul(255).round() / 255
        height, width = size = [side * model.scale for side in small.shape[2:]]
        large = picture[..., :height, :width]
        versions = upscale_tensor(small, model), resize(small, size)
        results.append([psnr(image, large, model.scale) for image in versions])
    if not results:
        raise InputError("no pictures to evaluate on")
    return tuple(sum(column) / len(results) for column in zip(*results, strict=True))


@process_group()
def main(arguments=None):
    """``python -m nstlib.training.upscale FOLDER ... --scale 2 -o upscale_x2.safetensors``"""
    parser = make_parser("nstlib.training.upscale", "Train an upscaler.", steps=6000)
    parser.add_argument("--scale", type=int, choices=SCALES, default=2)
    options = parser.parse_args(arguments)
    prepare(options, f"upscale_x{options.scale}")
    training = UpscalerTraining(
        options.folders,
        options.scale,
        steps=options.steps,
        keep=lambda path: path.name not in options.hold_out,
        checkpoint=options.checkpoint,
        device=options.device,
    )
    scale, made_by = str(options.scale), "nstlib.training.upscale"
    run(training, options, {"scale": scale, "steps": str(options.steps), "made by": made_by})
    held_out = [path for path in find_pictures(options.folders) if path.name in options.hold_out]
    if held_out and not rank():
        ours, bicubic = evaluate(load_upscaler(weights=options.output), held_out)
        print(f"x{scale}, {len(held_out)} pictures not trained on: {ours:.2f} dB, bicubic {bicubic:.2f} dB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
