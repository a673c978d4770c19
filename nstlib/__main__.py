"""The command line: ``nstlib CONTENT STYLE [STYLE ...] -o OUT``, or ``python -m nstlib`` in place of ``nstlib``."""

import contextlib
import os
import sys
import tempfile
from itertools import chain, count
from pathlib import Path

from .arguments import make_parser
from .distributed import wait_for_all
from .errors import InputError
from .features.ranks import ALONE, INPUT, Elsewhere, RankLost
from .files import make_folder
from .images import check_output, load_image, save_image
from .many import find_contents, is_done, name_outputs, recipe_of, share_of_process
from .networks.upscale import load_upscaler
from .regions.command import files_of, save_masks, spread
from .styles import as_styles
from .terminal import complain, say, terminal
from .transfer.estimate import estimate, largest_size
from .transfer.interruption import despite_interruption
from .transfer.memory import SAFE_SHARE, free_memory
from .transfer.processes import joined
from .transfer.run import check_checkpoint, inputs_of, refuse_inputs, run
from .transfer.settings import OPTIONS
from .transfer.transfer import StyleTransfer

EXIT_FAILED, EXIT_INPUT, EXIT_DIVERGED, EXIT_INTERRUPTED = 1, 2, 3, 130
EXITS = {
    "finished": 0,
    "failed": EXIT_FAILED,
    "lost": EXIT_FAILED,
    "diverged": EXIT_DIVERGED,
    "interrupted": EXIT_INTERRUPTED,
}


def main(arguments=None):
    """Run the command line; returns the exit status."""
    with terminal():
        try:
            options = vars(make_parser().parse_args(arguments))
            options["style"] = as_styles([*options["style"], *options.pop("more")])
            contents = find_contents(options["content"])
            masks = options.pop("masks")
            if masks is not None:
                return _save_masks(masks, contents, **options)
            if contents is not None:
                return _paint_all(contents, **options)
            with joined() as ranks:
                return _paint(ranks=ranks, **options)
        except InputError as error:
            complain(f"error: {error}")
            return EXIT_INPUT
        except RankLost as error:
            complain(f"error: {error}")
            return EXIT_FAILED
        except Elsewhere as error:  # which has said why
            return EXIT_INPUT if error.kind == INPUT else EXIT_FAILED
        except KeyboardInterrupt:
            complain("interrupted before there was a picture to save")
            return EXIT_INTERRUPTED


def _save_masks(folder, contents, *, content, style, regions, max_pixels, **_):
    """Save the regions found in one picture, to look at."""
    if contents is not None or regions is None:
        raise InputError("--masks saves what --regions finds in one picture")
    with joined() as ranks:
        if ranks.index == 0:
            photo = load_image(content, max_pixels=max_pixels)
            say(save_masks(spread(regions, photo, style, max_pixels=max_pixels), photo, folder))
    return 0


def _paint_all(contents, content, output, force, checkpoint, resume, **options):
    """Paint every picture by itself; whatever befalls one, the others are painted."""
    if checkpoint is not None or resume:
        raise InputError("--checkpoint is for one picture; of many, those that are done are skipped")
    folder = Path("stylized" if output is None else output).expanduser()
    outputs = name_outputs(contents, folder)
    for style in options["style"]:
        load_image(style.picture, max_pixels=options["max_pixels"])  # once refused, not once for every picture
    chosen = {name: value for name, value in options.items() if name in OPTIONS or name in ("preset", "upscale")}
    asked = [value for style in options["style"] for value in (style.weight, style.brush, style.layers)]
    asked += [options["regions"], *files_of(options["regions"])]
    recipes = {path: recipe_of([*inputs_of(path, **options), *asked], **chosen) for path in share_of_process(contents)}
    make_folder(folder)
    failed = False
    for number, path in enumerate(contents, 1):
        if path not in recipes:
            continue
        begin, output = f"{number}/{len(contents)} {path}: ", str(outputs[path])
        if is_done(output, recipes[path]) and not force:
            say(f"{begin}done before, {output}")
            continue
        try:
            status = _paint(str(path), output=output, force=force, recipe=recipes[path], begin=begin, **options)
        except Exception as error:
            complain(f"error: {begin}{str(error) or type(error).__name__}")
            status = EXIT_FAILED
        if status == EXIT_INTERRUPTED:
            return status
        failed |= status != 0
    wait_for_all("nstlib/painted")
    return EXIT_FAILED if failed else 0


def _paint(
    content, style, protect, regions, output, force, upscale, checkpoint_every, max_pixels, estimate, quiet,
    checkpoint=None, resume=False, recipe=None, begin="", ranks=ALONE, **options,
):  # fmt: skip
    inputs = [*inputs_of(content, style, protect=protect, **options), *files_of(regions)]
    first = ranks.index == 0
    with ranks.together():
        if first:
            checkpoint = check_checkpoint(checkpoint, checkpoint_every, resume, inputs)
            output = _free_name("stylized.png") if output is None else output
            check_output(output)
            refuse_inputs(output, [*inputs, checkpoint])
            if not (force or estimate):
                _refuse_to_overwrite(output, checkpoint, resume)
        if regions is not None:
            style = spread(regions, load_image(content, max_pixels=max_pixels), style, max_pixels=max_pixels)
        upscaler = None if upscale == 1 else load_upscaler(upscale)
        transfer = StyleTransfer(content, style, protect=protect, max_pixels=max_pixels, ranks=ranks, **options)
        if first:
            check_output(output, tuple(side * upscale for side in transfer.sizes[-1]))
    if estimate:
        if first:
            _print_estimate(transfer, begin)
        return 0
    painted = run(
        transfer,
        upscaler=upscaler,
        progress=not quiet,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
    )
    if not first:
        if painted.end != "lost":
            wait_for_all("nstlib/saved")
        return EXITS[painted.end]
    note = transfer.as_dict() | ({"upscale": painted.scale} if painted.scale > 1 else {})
    kept, interrupted = despite_interruption(lambda: _save(painted, output, note, recipe))
    if kept is not None:
        say(f"{begin}{kept}")
    if ranks.count > 1 and painted.end != "lost":
        wait_for_all("nstlib/saved")
    if kept != output:
        return EXIT_FAILED
    return EXIT_INTERRUPTED if interrupted else EXITS[painted.end]


def _refuse_to_overwrite(output, state, resume):
    """Raise :class:`InputError` if the picture or the checkpoint would replace one from another run."""
    if state is not None and state.exists():
        if resume:
            return  # the existing picture was made by the same run, before it was interrupted
        raise InputError(f"{state} exists already: --resume continues from it, --force starts over")
    if Path(output).expanduser().exists():
        raise InputError(f"{output} exists already: choose another name, or --force to replace it")


def _save(painted, output, note, recipe):
    """Write the picture, under another name if that fails; returns the name, or None if nothing could be written."""
    try:
        save_image(painted.image, output, alpha=painted.alpha, settings=note, recipe=recipe)
        return output
    except Exception as error:  # whatever went wrong, a full disk or a missing folder, must not cost hours of work
        for folder in (Path(output).expanduser().parent, tempfile.gettempdir()):
            kept = _free_name(Path(folder, Path(output).with_suffix(".png").name))
            with contextlib.suppress(Exception):
                save_image(painted.image, kept, alpha=painted.alpha, settings=note)
                complain(f"error: could not write {output} ({error}): the picture is kept as {kept}")
                return kept
        complain(f"error: could not write {output} ({error}), nor keep the picture elsewhere")
        return None


def _free_name(path):
    """``path`` if there is no such file, else with the first number that makes it new: ``stylized-2.png``."""
    path = Path(path)
    names = chain([path], (path.with_stem(f"{path.stem}-{number}") for number in count(2)))
    return str(next(name for name in names if not os.path.lexists(name)))


def _print_estimate(transfer, begin):
    needs = estimate(transfer)
    say(f"{begin}this transfer: {needs}")
    free = SAFE_SHARE * free_memory(transfer.device)
    height, width = needs.size
    asked = {"optimizer": transfer.settings.optimizer, "margin": transfer.settings.margin}
    longest = largest_size(transfer.backbone, height / width, free, kept=transfer.floats_per_pixel, **asked)
    say(f"free on {transfer.device}: {free / 2**30:.1f} GB, enough for {longest} pixels on the longer side")


if __name__ == "__main__":
    sys.exit(main())
