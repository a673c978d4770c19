"""The pictures that come with the package."""

from pathlib import Path

import numpy as np
import pytest

from nstlib import InputError, samples


def test_contents():
    for name in samples.CONTENTS:
        assert samples.content(name).mode == "RGB"


def test_generated_styles_are_full_pictures_and_repeat():
    for name in samples.PALETTES:
        picture = np.asarray(samples.style(name, size=128))
        assert picture.shape == (128, 128, 3)
        assert picture.std() > 25
        assert np.array_equal(picture, np.asarray(samples.style(name, size=128)))
    assert not np.array_equal(picture, np.asarray(samples.style(name, size=128, seed=1)))
    assert samples.style("embers").size == (512, 512)


def test_paintings_are_small_files_of_full_size():
    for name in samples.PAINTINGS:
        whole, small = samples.style(name), samples.style(name, size=100)
        assert max(whole.size) >= 800
        assert max(small.size) == 100
        assert whole.mode == "RGB"
        assert np.asarray(whole).std() > 40
        assert samples.style(name, size=5000).size == whole.size
        assert (Path(samples.__file__).parent / f"{name}.jpg").stat().st_size <= 200_000
        assert f"`{name}.jpg`" in (Path(samples.__file__).parent / "README.md").read_text()


def test_addresses_of_either_kind():
    assert samples.open("sample:rocket").size == samples.content("rocket").size
    assert np.array_equal(samples.open("SAMPLE:Meadow"), samples.style("meadow"))
    assert np.array_equal(samples.open("sample:great_wave"), samples.style("great_wave"))


def test_unknown_samples():
    with pytest.raises(InputError, match="did you mean 'swirls'"):
        samples.open("sample:swirl")
    with pytest.raises(InputError, match="choose from starry_night, scream, great_wave, swirls, embers, meadow"):
        samples.style("monet")
    with pytest.raises(InputError, match="choose from astronaut"):
        samples.content("dog")
    with pytest.raises(InputError, match="size must be a whole number"):
        samples.style("scream", size=0)
