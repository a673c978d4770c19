"""Super-resolution: exact tiles, the bicubic start, the protocol of the field, a few real training steps."""

import itertools

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from nstlib import InputError, load_image, samples, stylize, upscale, upscale_training
from nstlib.images import resize, to_pil


def trained(scale=2):
    """A small model whose last layer is not zero."""
    torch.manual_seed(0)
    model = upscale.Upscaler(scale, width=8, depth=2)
    torch.nn.init.normal_(model.last.weight, std=0.1)
    return model.eval()


@pytest.mark.parametrize("scale", upscale.SCALES)
@pytest.mark.parametrize("tile", [7, 16, 1000])
def test_tiles_are_exact(scale, tile):
    image, model = torch.rand(1, 3, 37, 50), trained(scale)
    with torch.no_grad():
        whole = model(image).clamp(0, 1)
    assert whole.shape == (1, 3, 37 * scale, 50 * scale)
    torch.testing.assert_close(upscale.upscale_tensor(image, model, tile=tile), whole, atol=1e-5, rtol=0)


def test_untrained_is_bicubic():
    image = load_image(make_picture(20, 30))
    large = upscale.upscale(image, model=upscale.Upscaler(3))
    expected = Image.fromarray(make_picture(20, 30)).resize((90, 60), Image.BICUBIC)
    np.testing.assert_allclose(np.asarray(large, float), np.asarray(expected, float), atol=1.01)


def test_shrinking_is_bicubic_with_antialiasing():
    small = upscale_training.shrink(load_image(make_picture(60, 81)), 4)
    expected = Image.fromarray(make_picture(60, 81)[:60, :80]).resize((20, 15), Image.BICUBIC)
    np.testing.assert_allclose(small[0].permute(1, 2, 0) * 255, np.asarray(expected, float), atol=1.01)


def test_psnr_is_scikit_images():
    a, b = make_picture(40, 50, 1), make_picture(40, 50, 1)
    b[::3] //= 2
    found = upscale_training.psnr(load_image(a), load_image(b), shave=4)
    luma = [rgb2ycbcr(x)[4:-4, 4:-4, 0] for x in (a, b)]
    assert found == pytest.approx(peak_signal_noise_ratio(*luma, data_range=255), abs=1e-3)


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for seed in range(3):
        Image.fromarray(make_picture(130, 140, seed)).save(pictures / f"{seed}.png")
    (pictures / "notes.txt").write_text("no picture")
    return pictures


def test_training_lowers_the_loss_and_resumes(folder, tmp_path):
    def training(**options):
        return upscale_training.Training([folder], 2, steps=30, batch_size=2, crop=16, learning_rate=5e-3, **options)

    whole = list(training())
    assert np.mean([loss for _, loss in whole[-5:]]) < np.mean([loss for _, loss in whole[:5]])
    path = tmp_path / "state.pt"
    list(itertools.islice(training(checkpoint=path, save_every=10), 12))  # the last checkpoint is that of step 10
    assert list(training(checkpoint=path)) == whole[10:]


def test_command_trains_and_exports(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert upscale_training.main([str(folder), "--scale", "3", "--steps", "2", "-o", "x3.safetensors"]) == 0
    model = upscale.load_upscaler(weights="x3.safetensors")
    assert model.scale == 3
    assert upscale.upscale(make_picture(20, 30), model=model).size == (90, 60)


@pytest.mark.parametrize(("scale", "gain"), [(2, 0.8), (3, 0.6), (4, 0.5)])
def test_shipped_upscalers_beat_bicubic_on_photographs_not_trained_on(scale, gain):
    pictures = [samples.content(name) for name in samples.CONTENTS]
    ours, bicubic = upscale_training.evaluate(upscale.load_upscaler(scale), pictures)
    assert ours > bicubic + gain


def test_shipped_upscalers_are_small():
    for scale in upscale.SCALES:
        assert (upscale.WEIGHTS / f"upscale_x{scale}.safetensors").stat().st_size < 1e6


def test_transparency_is_enlarged():
    picture = np.dstack([make_picture(20, 30), np.full((20, 30), 255, np.uint8)])
    picture[:10, :, 3] = 0
    large = np.asarray(upscale.upscale(picture, 2))
    assert large.shape == (40, 60, 4)
    assert large[:15, :, 3].max() < 30
    assert large[25:, :, 3].min() > 225


def test_stylize_enlarges():
    content, style = make_picture(48, 64, 1), make_picture(48, 64, 2)
    options = {"size": 64, "iterations": 3, "backbone": "compact", "progress": False}
    painted, large = (stylize(content, style, upscale=scale, **options) for scale in (1, 2))
    assert large.size == (128, 96)
    small = to_pil(resize(load_image(large), (48, 64)))
    assert np.abs(np.asarray(small, float) - np.asarray(painted, float)).mean() < 4
    with pytest.raises(InputError, match="unknown scale 7"):
        stylize(content, style, upscale=7, **options)


def test_foreign_checkpoint(tmp_path):
    """A network of another family, in a file as its community shares it."""
    architectures = pytest.importorskip("spandrel.architectures.Compact.__arch.SRVGG")
    torch.manual_seed(0)
    network = architectures.SRVGGNetCompact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=2)
    torch.save(network.state_dict(), tmp_path / "compact.pth")
    model = upscale.load_upscaler(weights=tmp_path / "compact.pth")
    image = torch.rand(1, 3, 90, 70)
    with torch.no_grad():
        expected = network(image).clamp(0, 1)
    torch.testing.assert_close(upscale.upscale_tensor(image, model, tile=32), expected, atol=1e-5, rtol=0)


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match="unknown scale 5; choose from 2, 3, 4"):
        upscale.load_upscaler(5)
    with pytest.raises(InputError, match="weights file not found"):
        upscale.load_upscaler(2, tmp_path / "none.pth")
    Image.fromarray(make_picture(60, 90)).save(tmp_path / "small.png")
    with pytest.raises(InputError, match="no pictures of at least 80 pixels a side"):
        upscale_training.Training([tmp_path], 2)
    (tmp_path / "other.pth").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"spandrel|nstlib\[sr\]|cannot read"):
        upscale.load_upscaler(2, tmp_path / "other.pth")
