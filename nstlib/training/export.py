"""The weights that a training ends with, as a file."""

from safetensors.torch import save_file

from ..files import check_destination, written_whole


def export_weights(weights, path, description):
    """Write weights as half-precision safetensors.

    Args:
        weights: ``{name: tensor}``.
        path: of the file.
        description: ``{str: str}``, the file's metadata.

    Raises:
        InputError: the file cannot be written there.
    """
    halves = {name: value.half().cpu().contiguous() for name, value in weights.items()}
    with written_whole(check_destination(path)) as part:
        save_file(halves, part, description)
