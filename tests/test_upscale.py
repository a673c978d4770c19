"""Super-resolution: exact tiles, the bicubic start, transparency, weights of others."""

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image
from safetensors.torch import save_file

from nstlib import InputError, load_image, stylize
from nstlib.images import resize, to_pil
from nstlib.networks import upscale
from nstlib.networks.tiles import in_tiles


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


@pytest.mark.parametrize("scale", upscale.SCALES)
@pytest.mark.parametrize("colour", [(200, 100, 50, 128), (255, 0, 255, 1), (10, 250, 60, 255)])
def test_a_plain_picture_stays_plain(scale, colour):
    large = np.asarray(upscale.upscale(np.full((20, 30, 4), colour, np.uint8), scale), int)
    assert np.abs(large - colour).max() <= 1


@pytest.mark.parametrize("hidden", [(0, 255, 0), (255, 255, 255), (0, 0, 0)])
def test_hidden_colours_do_not_bleed(hidden):
    """A disc with a soft edge, and a bar across a corner, in one colour; behind them a colour that nobody sees."""
    y, x = np.mgrid[:33, :45]
    alpha = (255 * (12.5 - np.hypot(y - 16, x - 22)).clip(0, 1)).astype(np.uint8)
    alpha[:3, :9] = 255
    picture = np.dstack([np.full((33, 45, 3), (200, 60, 40)), alpha]).astype(np.uint8)
    picture[alpha == 0, :3] = hidden
    large = np.asarray(upscale.upscale(picture, 3), int)
    assert (large[..., 3] == 0).any()
    assert np.abs(large[..., :3] - (200, 60, 40)).max() <= 1


def test_a_picture_without_a_visible_pixel():
    large = np.asarray(upscale.upscale(np.zeros((9, 14, 4), np.uint8), 2))
    assert large.shape == (18, 28, 4)
    assert not large[..., 3].any()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 1e-6)])
def test_precision_of_the_picture_is_kept(dtype, tolerance):
    image, model = torch.rand(1, 3, 20, 30), trained()
    large = upscale.upscale_tensor(image.to(dtype), model)
    assert large.dtype == dtype
    torch.testing.assert_close(large.float(), upscale.upscale_tensor(image, model), atol=tolerance, rtol=0)


def test_float64_model_computes_in_its_own_precision():
    image, model = torch.rand(1, 3, 20, 30), trained()
    expected = upscale.upscale_tensor(image, model)
    large = upscale.upscale_tensor(image, model.double())
    assert large.dtype == torch.float32
    torch.testing.assert_close(large, expected, atol=1e-5, rtol=0)


def test_batch_is_its_pictures():
    images, model = torch.rand(3, 3, 20, 30), trained()
    singles = [upscale.upscale_tensor(image[None], model, tile=9) for image in images]
    torch.testing.assert_close(upscale.upscale_tensor(images, model, tile=9), torch.cat(singles), atol=1e-6, rtol=0)


def test_batch_with_transparency_is_its_pictures():
    images, model = torch.rand(3, 3, 20, 30), trained()
    alpha = torch.rand(3, 1, 20, 30).sub(0.4).clamp_min(0)
    alpha[0], alpha[1] = 1, 0  # all to be seen, and nothing
    pairs = [upscale.upscale_straight(*pair, model) for pair in zip(images[:, None], alpha[:, None], strict=True)]
    for found, singles in zip(upscale.upscale_straight(images, alpha, model), zip(*pairs, strict=True), strict=True):
        torch.testing.assert_close(found, torch.cat(singles), atol=1e-6, rtol=0)


@pytest.mark.parametrize("tile", [1, 5, 8, 1000])
@pytest.mark.parametrize("scale", [1, 3])
def test_any_local_function_is_exact_in_tiles(tile, scale):
    """Two channels of the mean over 5 x 5 pixels, cut off at the border, enlarged by repetition."""

    def network(image):
        mean = torch.nn.functional.avg_pool2d(image, 5, 1, padding=2, count_include_pad=False)
        return mean[:, :2].repeat_interleave(scale, 2).repeat_interleave(scale, 3)

    image = torch.rand(2, 3, 17, 23, dtype=torch.float64)
    found = in_tiles(network, image, tile=tile, halo=2, scale=scale)
    torch.testing.assert_close(found, network(image))
    if tile < 17:
        assert not torch.allclose(in_tiles(network, image, tile=tile, halo=1, scale=scale), network(image))


def test_model_stays_where_it_is():
    model = trained()
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):  # a device of every machine, without values
        upscale.upscale_tensor(torch.rand(1, 3, 20, 30, device="meta"), model)
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


@pytest.mark.parametrize("tile", [0, None, 8.0, np.int64(8)])
def test_tile_of_other_tools(tile):
    image, model = torch.rand(1, 3, 20, 30), trained()
    torch.testing.assert_close(
        upscale.upscale_tensor(image, model, tile=tile), upscale.upscale_tensor(image, model), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("tile", [-1, 0.5, "256", float("nan"), True])
def test_wrong_tiles(tile):
    with pytest.raises(InputError, match="tile must be a whole number of at least 0"):
        upscale.upscale(make_picture(20, 30), 2, tile=tile)
    with pytest.raises(InputError, match="tile must be a whole number of at least 0"):
        upscale.upscale_tensor(torch.rand(1, 3, 8, 8), trained(), tile=tile)


@pytest.mark.parametrize("scale", [2.0, np.int64(2), np.float32(2)])
def test_whole_scales(scale):
    assert upscale.upscale(make_picture(20, 30), scale).size == (60, 40)


@pytest.mark.parametrize("scale", [0, 1, 5, -2, 2.5, "2", None, float("nan"), [2]])
def test_wrong_scales(scale):
    for refuse in (lambda: upscale.upscale(make_picture(20, 30), scale), lambda: upscale.Upscaler(scale)):
        with pytest.raises(InputError, match="unknown scale .*; choose from 2, 3, 4"):
            refuse()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_pictures_with_holes_are_refused(bad):
    image = torch.rand(1, 3, 8, 8)
    image[0, 1, 2, 3] = bad
    for refuse in (lambda: upscale.upscale(image), lambda: upscale.upscale_tensor(image, trained())):
        with pytest.raises(InputError, match="1 values that are NaN or infinite"):
            refuse()


@pytest.mark.parametrize(
    "image",
    [
        torch.rand(3, 8, 8),
        torch.rand(1, 4, 8, 8),
        torch.rand(1, 3, 0, 8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
    ],
)
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(InputError, match=r"expected floats in \[0, 1\] of shape \(N, 3, H, W\), received torch"):
        upscale.upscale_tensor(image, trained())


def test_exported_upscaler_in_other_wrappings(tmp_path, monkeypatch):
    model, image = trained(), torch.rand(1, 3, 12, 9)
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save({"model": {f"module.{k}": v.double() for k, v in model.state_dict().items()}}, tmp_path / "mine.pth")
    again = upscale.load_upscaler(weights="~/mine.pth")
    assert torch.equal(upscale.upscale_tensor(image, again), upscale.upscale_tensor(image, model))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"last.bias": torch.zeros(75)}, "do not fit: unknown scale 5"),
        ({"last.bias": torch.zeros(13)}, r"last.bias must have the shape \(12,\), found \(13,\)"),
        ({"body.1.bias": None}, "body.1.bias is missing"),
        ({"body.1.weight": None}, "do not fit: depth must be a whole number of at least 2, received 1"),
        ({"body.2.weight": torch.zeros(8, 8, 3, 3)}, "do not fit: depth must be even, received 3"),
        ({"first.weight": torch.zeros(8, 3, 5, 5)}, "first.weight must have the shape"),
        ({"first.weight": torch.full((8, 3, 3, 3), torch.nan)}, "first.weight has values that are NaN"),
    ],
)
def test_upscalers_that_do_not_fit(tmp_path, change, message):
    state = {key: value for key, value in {**trained().state_dict(), **change}.items() if value is not None}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=message):
        upscale.load_upscaler(weights=tmp_path / "w.safetensors")


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
    (tmp_path / "other.pth").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"spandrel|nstlib\[sr\]|cannot read"):
        upscale.load_upscaler(2, tmp_path / "other.pth")
