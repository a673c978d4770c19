"""The pictures that come with the package."""

import numpy as np
import pytest

from nstlib import InputError, samples


def test_contents():
    for name in samples.CONTENTS:
        assert samples.content(name).mode == "RGB"


def test_styles_are_full_pictures_and_repeat():
    for name in samples.STYLES:
        picture = np.asarray(samples.style(name, size=128))
        assert picture.shape == (128, 128, 3)
        assert picture.std() > 25
        assert np.array_equal(picture, np.asarray(samples.style(name, size=128)))
    assert not np.array_equal(picture, np.asarray(samples.style(name, size=128, seed=1)))


def test_addresses_of_either_kind():
    assert samples.open("sample:rocket").size == samples.content("rocket").size
    assert np.array_equal(samples.open("SAMPLE:Meadow"), samples.style("meadow"))


def test_unknown_samples():
    with pytest.raises(InputError, match="did you mean 'swirls'"):
        samples.open("sample:swirl")
    with pytest.raises(InputError, match="choose from swirls, embers, meadow"):
        samples.style("monet")
    with pytest.raises(InputError, match="choose from astronaut"):
        samples.content("dog")
