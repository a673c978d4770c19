"""A transfer run to its end, and what is kept when the end comes early."""

import contextlib
import os
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm.auto import tqdm

from ..ambient import is_out_of_memory
from ..checks import number
from ..errors import Diverged, InputError
from ..features.ranks import ALONE, RankLost
from ..files import check_destination
from ..images import to_pil
from ..networks.upscale import load_upscaler, upscale_straight
from ..pictures.sources import local_path
from ..styles import sources_of
from .interruption import despite_interruption
from .transfer import StyleTransfer, fingerprint


class Painted(NamedTuple):
    """The result of a run.

    Attributes:
        image: RGB in [0, 1], shape (1, 3, H, W).
        alpha: transparency in [0, 1], shape (1, 1, H, W), or None.
        end: ``"finished"``, ``"interrupted"``, ``"diverged"``, ``"lost"`` where another rank was lost, or ``"failed"``
            where memory ran out or the picture could not be enlarged.
        scale: how many times ``image`` was enlarged, 1 for not at all.
    """

    image: torch.Tensor
    alpha: torch.Tensor | None
    end: str
    scale: int = 1


def stylize(content, style, *, upscale=1, progress=True, checkpoint=None, checkpoint_every=30, resume=False, **options):
    """Paint ``content`` in the manner of ``style`` and return a PIL image.

    Whatever ends it early after the first iteration, the picture so far is returned and a warning says why: an
    interruption (Ctrl-C, the notebook's stop button), a loss that is no longer finite, memory that ran out. While the
    picture is being enlarged, that is the picture before.

    Args:
        content: path, URL, PIL image, NumPy array or tensor; see :func:`~nstlib.images.load_image`.
        style: the same or :class:`~nstlib.Style`, or a list of them, for regions of the picture or to blend.
        upscale: 2, 3 or 4 enlarges the finished picture so many times; see :mod:`nstlib.networks.upscale`.
        progress: show a progress bar with the time left.
        checkpoint: file to save the state to every ``checkpoint_every`` seconds, and at an interruption.
        resume: go on from ``checkpoint`` if it exists.
        **options: as for :class:`StyleTransfer`.

    Returns:
        PIL image of the content's shape, longer side ``size * upscale``.

    Raises:
        InputError: input that cannot be used, a checkpoint that cannot be written or is one of the inputs.
        KeyboardInterrupt: interrupted before the first iteration.

    Example:
        >>> from nstlib import samples
        >>> stylize(samples.content(), samples.style(), size=64, iterations=3, backbone="compact", progress=False).size
        (64, 43)
    """
    if options.get("ranks", ALONE).index == 0:
        check_checkpoint(checkpoint, checkpoint_every, resume, inputs_of(content, style, **options))
    upscaler = None if upscale == 1 else load_upscaler(upscale)
    painted = run(
        StyleTransfer(content, style, **options),
        upscaler=upscaler,
        progress=progress,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
    )
    return to_pil(painted.image, painted.alpha)


def run(transfer, *, upscaler=None, progress=True, checkpoint=None, checkpoint_every=30, resume=False):
    """Iterate ``transfer`` to its end with a progress bar and checkpoints; used by :func:`stylize`.

    Of several ranks the first one shows, saves and enlarges; all of them resume.

    Args:
        transfer: :class:`StyleTransfer`.
        upscaler: of :func:`~nstlib.networks.upscale.load_upscaler`, to enlarge the finished picture.
        progress, checkpoint, checkpoint_every, resume: as for :func:`stylize`.

    Returns:
        :class:`Painted`. A warning says why, where it is not the finished picture.

    Raises:
        InputError: the checkpoint cannot be written, or is that of another transfer.
        KeyboardInterrupt: interrupted before the first iteration.
    """
    ranks = transfer.ranks
    with ranks.together():
        first = ranks.index == 0
        if first:
            checkpoint = check_checkpoint(checkpoint, checkpoint_every, resume)
    _check_alike(transfer)
    found = resume and Path(checkpoint).expanduser().exists()
    with ranks.together():
        if len({*ranks.gather(int(found))}) > 1:
            raise InputError(f"not every process finds {checkpoint}: it must be in a folder that all machines see")
        if found:
            transfer.load_checkpoint(checkpoint)
    saving = _Checkpoints(transfer, checkpoint if first else None, checkpoint_every)
    end = _iterate(transfer, progress and first, saving)
    (image, alpha), interrupted = despite_interruption(lambda: (transfer.image, transfer.transparency))
    if interrupted:
        end = "interrupted"
    if upscaler is None or end != "finished" or not first:
        return Painted(image, alpha, end)
    try:
        return Painted(*upscale_straight(image, alpha, upscaler, progress=progress), end, upscaler.scale)
    except KeyboardInterrupt:
        warnings.warn("interrupted while enlarging: this is the picture before", stacklevel=2)
        return Painted(image, alpha, "interrupted")
    except Exception as error:  # hours of painting outweigh whatever it is
        warnings.warn(f"the picture could not be enlarged ({_say(error)}): this is the one before", stacklevel=2)
        return Painted(image, alpha, "failed")


def check_checkpoint(path, every=30, resume=False, inputs=()):
    """The file that the state will be saved to, found fit before the work begins; None for no checkpoints.

    Raises:
        InputError: the file cannot be written or is one of the ``inputs``, ``every`` is no number of seconds, or
            there is nothing named to resume from.
    """
    number("checkpoint_every, in seconds,", every, 0)
    if path is None:
        if resume:
            raise InputError("to resume, name the checkpoint too: checkpoint= or --checkpoint FILE")
        return None
    refuse_inputs(path, inputs)
    return check_destination(path)


def inputs_of(content, style, *, protect=None, init=None, weights=None, **_):
    """What a :class:`~nstlib.StyleTransfer` of these arguments reads, as it was given."""
    return [content, *sources_of(style), *sources_of(protect), init, weights]


def refuse_inputs(path, inputs):
    """Raise :class:`InputError` if writing to ``path`` would destroy one of the ``inputs``, however it is spelled.

    Args:
        path: file about to be written; it need not exist.
        inputs: paths; whatever else a picture can be is passed over.
    """
    for source in inputs:
        own = local_path(source) if isinstance(source, (str, os.PathLike)) else None
        if own is not None and _is_same_file(path, own):
            raise InputError(f"writing {path} would destroy {source}, which this run reads: choose another name")


def _check_alike(transfer):
    """Raise :class:`InputError` if ranks would paint different pictures."""
    if transfer.ranks.count > 1:
        with transfer.ranks.together():
            if len({*transfer.ranks.gather(int(fingerprint(transfer)[:15], 16))}) > 1:
                raise InputError("the processes were given different pictures, settings or networks")


def _iterate(transfer, progress, checkpoints):
    """Take all steps; return how it ended."""
    bar = tqdm(total=transfer.work, initial=transfer.work_done, unit="px", unit_scale=True, disable=not progress)
    with bar:
        try:
            for step in transfer:
                bar.update(step.size[0] * step.size[1])
                bar.set_description(
                    f"{step.size[1]}x{step.size[0]}, iteration {step.iteration}/{len(transfer)}", refresh=False
                )
                checkpoints.save_if_due()
            return "finished"
        except Diverged as error:
            warnings.warn(str(error), stacklevel=3)
            return "diverged"
        except (Exception, KeyboardInterrupt) as error:
            if transfer.iteration:  # else what is there already is worth more
                with contextlib.suppress(KeyboardInterrupt):  # impatience costs the checkpoint, not the picture
                    checkpoints.save(last=True)
            interrupted = isinstance(error, KeyboardInterrupt)
            lost = isinstance(error, RankLost)
            if transfer.iteration == 0 or not (interrupted or lost or is_out_of_memory(error)):
                raise
            if lost:
                warnings.warn(f"{_say(error)}: resume from the checkpoint, if there is one", stacklevel=3)
                return "lost"
            why = "interrupted" if interrupted else f"out of memory ({_say(error)})"
            warnings.warn(
                f"{why} at iteration {transfer.iteration} of {len(transfer)}: this is the picture so far", stacklevel=3
            )
            return "interrupted" if interrupted else "failed"


class _Checkpoints:
    """Saves the state now and then. Where that fails, the painting is worth more: it goes on, and saves later."""

    def __init__(self, transfer, path, every):
        self.transfer, self.path, self.every = transfer, path, every
        self.time, self.warned = time.monotonic(), False

    def save_if_due(self):
        if time.monotonic() - self.time >= self.every:
            self.save()

    def save(self, last=False):
        if self.path is None:
            return
        try:
            self.transfer.save_checkpoint(self.path)
        except (OSError, InputError) as error:  # no room for it any more, or no place
            if last or not self.warned:
                then = "the state is lost" if last else f"trying again every {self.every:g} s"
                warnings.warn(f"the checkpoint {self.path} could not be saved ({_say(error)}): {then}", stacklevel=4)
            self.warned = True
        self.time = time.monotonic()


def _is_same_file(path, other):
    path, other = (os.path.realpath(os.path.expanduser(name)) for name in (path, other))
    return path == other or (os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other))


def _say(error):
    """The first line of an error; torch's go on for pages."""
    return (str(error) or type(error).__name__).partition("\n")[0]
