"""A transfer run to its end: the progress bar, checkpoints, what happens when it is interrupted."""

import time
import warnings
from pathlib import Path

from tqdm.auto import tqdm

from .errors import Diverged, InputError
from .images import resize, to_pil
from .transfer import StyleTransfer
from .upscale import load_upscaler, upscale_tensor


def stylize(content, style, *, upscale=1, progress=True, checkpoint=None, checkpoint_every=30, resume=False, **options):
    """Paint ``content`` in the manner of ``style`` and return a PIL image.

    Interrupting it (Ctrl-C, the notebook's stop button) gives back the picture so far; so does a loss that
    stops being finite. Both say so in a warning.

    Args:
        content: path, URL, PIL image, NumPy array or tensor; see :func:`~nstlib.images.load_image`.
        style: the same, or a list of them to blend.
        upscale: 2, 3 or 4 enlarges the painted picture so many times; see :mod:`nstlib.upscale`.
        progress: show a progress bar with the time left.
        checkpoint: file to save the state to every ``checkpoint_every`` seconds, and at an interruption.
        resume: go on from ``checkpoint`` if it exists.
        **options: as for :class:`StyleTransfer`.

    Returns:
        PIL image of the content's shape, longer side ``size * upscale``.

    Example:
        >>> from nstlib import samples
        >>> stylize(samples.content(), samples.style(), size=64, iterations=3, backbone="compact", progress=False).size
        (64, 43)
    """
    enlarge = make_enlarger(upscale)
    transfer = StyleTransfer(content, style, **options)
    run(transfer, progress=progress, checkpoint=checkpoint, checkpoint_every=checkpoint_every, resume=resume)
    return to_pil(*enlarge(transfer, progress=progress))


def make_enlarger(scale):
    """A function that gives ``(image, alpha)`` of a transfer, enlarged ``scale`` times; 1 leaves them as they are.

    Made before the work starts, so that a scale that does not exist is refused at once.

    Raises:
        InputError: unknown scale.
    """
    model = None if scale == 1 else load_upscaler(scale)

    def enlarge(transfer, progress=False):
        image, alpha = transfer.image, transfer.transparency
        if model is not None:
            image = upscale_tensor(image, model, progress=progress)
            alpha = None if alpha is None else resize(alpha, image.shape[2:])
        return image, alpha

    return enlarge


def run(transfer, *, progress=True, checkpoint=None, checkpoint_every=30, resume=False):
    """Iterate ``transfer`` to its end with a progress bar and checkpoints; used by :func:`stylize`.

    Returns:
        True if it came to its end, False if it was interrupted or diverged (a warning says which).
    """
    if resume and not checkpoint:
        raise InputError("resume needs the name of the checkpoint")
    if resume and Path(checkpoint).exists():
        transfer.load_checkpoint(checkpoint)
    saved = time.monotonic()
    bar = tqdm(total=transfer.work, initial=transfer.work_done, unit="px", unit_scale=True, disable=not progress)
    with bar:
        try:
            for step in transfer:
                bar.update(step.size[0] * step.size[1])
                bar.set_description(
                    f"{step.size[1]}x{step.size[0]}, iteration {step.iteration}/{len(transfer)}", refresh=False
                )
                if checkpoint and time.monotonic() - saved >= checkpoint_every:
                    transfer.save_checkpoint(checkpoint)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            if checkpoint:
                transfer.save_checkpoint(checkpoint)
            warnings.warn(
                f"interrupted at iteration {transfer.iteration} of {len(transfer)}: this is the picture so far",
                stacklevel=2,
            )
            return False
        except Diverged as error:
            warnings.warn(str(error), stacklevel=2)
            return False
        except Exception:  # out of memory even with the most frugal plan, say
            if checkpoint:
                transfer.save_checkpoint(checkpoint)
            raise
    return True
