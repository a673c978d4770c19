"""Train an upscaler: photographs are shrunk, the network learns to undo it.

``python -m nstlib.training.upscale FOLDER ... --scale 2 -o upscale_x2.safetensors``
"""

import argparse
import math
import random
import sys
import time

import torch
from safetensors.torch import save_file
from torch import nn

from ..ambient import own_random, plain_torch, usable_device
from ..checkpoints import read_state, write_state
from ..checks import positive, whole
from ..errors import Diverged, InputError
from ..files import check_destination, written_whole
from ..images import load_image, resize
from ..metrics import psnr
from ..networks.upscale import SCALES, Upscaler, load_upscaler, upscale_tensor
from ..pictures.sources import find_pictures


class Training:
    """Train an upscaler from scratch; iterate over it for one ``(step, loss)`` per step.

    The loss is the mean absolute error, which gives sharper pictures than the squared one. The caller's random numbers
    stay as they are.

    Args:
        folders: folders with pictures.
        scale: 2, 3 or 4.
        steps: length of the training; the learning rate follows one cosine over it.
        batch_size, crop: crops per step, and their side in pixels of the small pictures.
        learning_rate: peak of the cosine.
        keep: predicate on a path; pictures it refuses are left for the evaluation.
        seed: seeds weights and crops.
        checkpoint: file to save the whole state to every ``save_every`` steps, and to resume from if it exists.
        device: of the network.

    Raises:
        InputError: no picture in the folders is large enough, numbers that make no sense, a checkpoint of another
            training or one that cannot be written, or a device that this machine does not have.
        Diverged: from a step, before it spoils the weights.
    """

    @plain_torch()
    def __init__(
        self, folders, scale, *, steps=6000, batch_size=16, crop=40, learning_rate=2e-3, keep=lambda path: True,
        seed=0, checkpoint=None, save_every=250, device="cpu",
    ):  # fmt: skip
        self.steps, self.batch_size, self.crop = (
            whole(what, value) for what, value in (("steps", steps), ("batch_size", batch_size), ("crop", crop))
        )
        self.learning_rate, self.save_every = positive("learning_rate", learning_rate), whole("save_every", save_every)
        seed, self.device = whole("seed", seed, 0), usable_device(device)
        self.checkpoint = None if checkpoint is None else check_destination(checkpoint)
        self.rng = random.Random(seed)
        with own_random(seed):
            self.model = Upscaler(scale).to(self.device, memory_format=torch.channels_last)
        scale, crop = self.model.scale, self.crop
        pictures = [load_image(path) for path in find_pictures(folders) if keep(path)]
        pairs = [(shrink(large, scale), large) for large in pictures]
        # Rounded, as the small picture in a file would be.
        self.pairs = [
            tuple((image[0] * 255).round().byte() for image in pair) for pair in pairs if min(pair[0].shape[2:]) >= crop
        ]
        if not self.pairs:
            raise InputError(f"no pictures of at least {crop * scale} pixels a side in {', '.join(map(str, folders))}")
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.learning_rate, betas=(0.9, 0.99))
        self.step = 0
        if self.checkpoint and self.checkpoint.exists():
            self._resume()

    def __iter__(self):
        while self.step < self.steps:
            yield self._advance()

    @plain_torch()
    def _advance(self):
        small, large = self._batch()
        warmup = min(1, (self.step + 1) / 50)
        rate = warmup * (0.5 + 0.5 * math.cos(math.pi * self.step / self.steps)) + 1e-3
        self.optimizer.param_groups[0]["lr"] = self.learning_rate * rate
        loss = (self.model(small) - large).abs().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1)
        if not norm.isfinite():
            raise Diverged(f"the gradient became NaN or infinite at step {self.step + 1}: lower learning_rate")
        self.optimizer.step()
        self.step += 1
        if self.checkpoint and (self.step % self.save_every == 0 or self.step == self.steps):
            self._save()
        return self.step, loss.item()

    def export(self, path, description):
        """Write the weights as half-precision safetensors with ``{str: str}`` metadata."""
        state = {key: value.half().cpu().contiguous() for key, value in self.model.state_dict().items()}
        with written_whole(check_destination(path)) as part:
            save_file(state, part, description)

    def _batch(self):
        """Crops and their large versions, turned and mirrored at random."""
        smalls, larges = [], []
        scale = self.model.scale
        for _ in range(self.batch_size):
            small, large = self.rng.choice(self.pairs)
            y, x = (self.rng.randrange(side - self.crop + 1) for side in small.shape[1:])
            small = small[:, y : y + self.crop, x : x + self.crop]
            large = large[:, y * scale : (y + self.crop) * scale, x * scale : (x + self.crop) * scale]
            turns, mirrored = self.rng.randrange(4), self.rng.random() < 0.5
            for crop, crops in ((small, smalls), (large, larges)):
                turned = crop.rot90(turns, (1, 2))
                crops.append(turned.flip(2) if mirrored else turned)
        return tuple(
            torch.stack(crops).to(self.device).contiguous(memory_format=torch.channels_last).float() / 255
            for crops in (smalls, larges)
        )

    def _save(self):
        state = {
            "step": self.step, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "random": self.rng.getstate(),
        }  # fmt: skip
        write_state(state, self.checkpoint)

    def _resume(self):
        state = read_state(self.checkpoint)
        try:
            self.step = state["step"]
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.rng.setstate(state["random"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            why = str(error).partition("\n")[0]
            raise InputError(f"{self.checkpoint} is not a checkpoint of this training: {why}") from None


def shrink(image, scale):
    """Bicubic reduction with antialiasing, as MATLAB's ``imresize``; sides are first cut to multiples of ``scale``.

    Raises:
        InputError: the picture has fewer than ``scale`` pixels a side.
    """
    scale = whole("scale", scale)
    height, width = size = [side // scale for side in image.shape[2:]]
    if not height or not width:
        raise InputError(f"cannot shrink {image.shape[3]} x {image.shape[2]} pixels {scale} times")
    return resize(image[..., : height * scale, : width * scale], size)


def evaluate(model, pictures):
    """Mean PSNR in dB over pictures that are shrunk and enlarged again: ``(the model's, bicubic)``.

    Args:
        model: from :func:`~nstlib.networks.upscale.load_upscaler`.
        pictures: whatever :func:`~nstlib.images.load_image` takes, each.

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


def main(arguments=None):
    """The command line of the module."""
    parser = argparse.ArgumentParser(prog="python -m nstlib.training.upscale", description="Train an upscaler.")
    parser.add_argument("folders", nargs="+", help="folders with pictures to train on")
    parser.add_argument("--scale", type=int, choices=SCALES, default=2)
    parser.add_argument("-o", "--output")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--hold-out", nargs="*", default=[], help="file names left for the evaluation at the end")
    parser.add_argument("--checkpoint")
    parser.add_argument("--log")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    name = f"upscale_x{options.scale}"
    output = check_destination(options.output or f"{name}.safetensors")
    log = check_destination(options.log or f"{name}.csv")
    training = Training(
        options.folders, options.scale, steps=options.steps, keep=lambda path: path.name not in options.hold_out,
        checkpoint=options.checkpoint or f"{name}.pt", device=options.device,
    )  # fmt: skip
    smooth, started = None, time.monotonic()
    with open(log, "a") as log:
        for step, loss in training:
            smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
            if step % 50 == 0:
                print(f"{step},{smooth:.6f},{time.monotonic() - started:.0f}", file=log, flush=True)
    description = {"scale": str(options.scale), "steps": str(options.steps), "made by": "nstlib.training.upscale"}
    training.export(output, description)
    held_out = [path for path in find_pictures(options.folders) if path.name in options.hold_out]
    if held_out:
        ours, bicubic = evaluate(load_upscaler(weights=output), held_out)
        print(f"x{options.scale}, {len(held_out)} pictures not trained on: {ours:.2f} dB, bicubic {bicubic:.2f} dB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
