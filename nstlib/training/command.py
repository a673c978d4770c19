"""The command line of a training: its options, a log of its losses, its weights at the end."""

import argparse
import math
import os

import torch

from ..ambient import choose_device
from ..distributed import rank
from ..files import check_destination

#: A row of the log is written every so many steps.
LOG_EVERY = 50
#: Weight of the past in the running means of the losses that are logged.
SMOOTHING = 0.98


def make_parser(module, description, steps):
    """A parser with the options that all trainings have.

    Args:
        module: name of the module that is run.
        description: for ``--help``.
        steps: default length of the training.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("folders", nargs="+", help="folders with pictures to train on")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--hold-out", nargs="*", default=[], help="file names left for the evaluation")
    parser.add_argument("-o", "--output", help="weights file to write at the end")
    parser.add_argument("--checkpoint", help="file to resume from if the training is interrupted")
    parser.add_argument("--log", help="CSV file: step, running means of the losses, seconds of the step")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int)
    return parser


def prepare(options, name):
    """Set threads and device; complete the files that ``options`` leaves out, called ``name``, and check them.

    Raises:
        InputError: a file cannot be written, or this machine has no such device.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    options.device = choose_device(options.device)
    options.output = check_destination(options.output or f"{name}.safetensors", write=not rank())
    options.checkpoint = check_destination(options.checkpoint or f"{name}.pt", write=not rank())
    options.log = check_destination(options.log or f"{name}.csv", write=not rank())


def run(training, options, description):
    """Train to the end; log the losses and export the weights, both in the first of several processes alone.

    Args:
        training: iterator over :class:`~nstlib.training.loop.TrainingStep` with ``LOSSES``, their names, and
            ``export(path, description)``.
        options: after :func:`prepare`.
        description: ``{str: str}``, metadata of the weights file.
    """
    means = {}
    with open(os.devnull if rank() else options.log, "a") as log:
        for step in training:
            for name, value in step.losses.items():
                means[name] = SMOOTHING * means.get(name, value) + (1 - SMOOTHING) * value
            if step.step % LOG_EVERY == 0:
                row = [f"{means.get(name, math.nan):.6f}" for name in training.LOSSES]
                print(step.step, *row, f"{step.seconds:.2f}", sep=",", file=log, flush=True)
    if not rank():
        training.export(options.output, description)
