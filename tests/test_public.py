"""What users import, and that importing it does no work."""

import subprocess
import sys

import nstlib


def test_public_names():
    assert nstlib.__all__ == sorted(nstlib.__all__)
    assert set(nstlib.__all__) == {
        "Backbone", "Diverged", "InputError", "Moments", "Settings", "Style", "StyleTransfer", "load_backbone",
        "load_image", "read_settings", "samples", "save_image", "stylize", "stylize_tiles",
    }  # fmt: skip
    assert all(hasattr(nstlib, name) for name in nstlib.__all__)


def test_import_is_silent_and_leaves_widgets_alone():
    # Old versions of scikit-image import their data themselves.
    code = """if True:
        import sys, skimage.color
        excused = {'skimage.data'} & set(sys.modules)
        import nstlib
        print([m for m in ('ipywidgets', 'matplotlib', 'skimage.data') if m in set(sys.modules) - excused])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
