"""Writes ``docs/settings.md``, the table of all settings: ``python docs/write_settings.py``."""

from pathlib import Path

from nstlib.transfer.settings import OPTIONS, Settings

HEAD = """\
# Settings

Every setting is a keyword of `nstlib.stylize` and `nstlib.StyleTransfer`, an option of the command line
(`style_weight=20` is `--style-weight 20`) and a control of the studio. Where a setting may be `None`, the word in
parentheses stands for it on the command line and in the studio; what is written `relu1_1,relu2_1=0.5` there is
`{"relu1_1": 1.0, "relu2_1": 0.5}` in Python, and names alone may be a list. The settings marked * may be changed while
a transfer runs; of the layers, only the weights. `style_strength` is stored as the two
weights that it stands for. Written by `python docs/write_settings.py`.

| setting | default | values | meaning |
|---|---|---|---|
"""


def page():
    """The text of the file."""
    return HEAD + "".join(map(_row, OPTIONS))


def _row(name):
    metadata = OPTIONS[name].metadata
    default = getattr(Settings(), name)
    default = metadata["write"](default) if isinstance(default, dict) else repr(default)
    cells = [
        f"`{name}`{' *' if OPTIONS[name].metadata['live'] else ''}",
        f"`{default}`",
        _values(metadata),
        metadata["help"],
    ]
    return f"| {' | '.join(cells)} |\n"


def _values(metadata):
    values = [f"`{word}`" for word in metadata["choices"]]
    if metadata["what"]:
        values.append(metadata["what"])
    if metadata["none"] is not None:
        values.append("`None`" + (f" (`{metadata['none']}`)" if metadata["none"] else ""))
    return ", ".join(values)


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(page())
