"""Pictures in and out: every kind of file works or is refused by name."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image, ImageCms

from nstlib import InputError, load_image, read_settings, save_image
from nstlib.images import find_pictures, fit_size, load_image_and_alpha, resize, to_pil


def as_array(image):
    return image[0].permute(1, 2, 0).numpy()


def test_the_same_picture_by_every_way(picture, tmp_path):
    expected = picture.astype(np.float32) / 255
    path = tmp_path / "p.png"
    Image.fromarray(picture).save(path)
    sources = [
        path, str(path), path.read_bytes(), Image.fromarray(picture), picture, expected,
        (picture.astype(np.uint16) * 257), torch.from_numpy(expected).permute(2, 0, 1),
        torch.from_numpy(expected).permute(2, 0, 1)[None], torch.from_numpy(picture).permute(2, 0, 1),
    ]  # fmt: skip
    for source in sources:
        image = load_image(source)
        assert (image.shape, image.dtype) == ((1, 3, 60, 80), torch.float32)
        np.testing.assert_allclose(as_array(image), expected, atol=1e-6)


def test_url(picture, monkeypatch):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    asked = []

    def open_url(request, timeout):
        asked.append(request.full_url)
        return io.BytesIO(file.getvalue())

    monkeypatch.setattr("urllib.request.urlopen", open_url)
    np.testing.assert_allclose(as_array(load_image("https://example.org/p.png")), picture / 255, atol=1e-6)
    assert asked == ["https://example.org/p.png"]


def test_url_without_end(monkeypatch):
    monkeypatch.setattr("nstlib.sources.MAX_DOWNLOAD", 2 << 20)
    monkeypatch.setattr("urllib.request.urlopen", lambda request, timeout: io.BytesIO(bytes(3 << 20)))
    with pytest.raises(InputError, match="larger than 2 MB"):
        load_image("https://example.org/p.png")


def test_url_that_fails():
    with pytest.raises(InputError, match="could not download http://127.0.0.1:9/p.png"):
        load_image("http://127.0.0.1:9/p.png")


def test_rotated_phone_picture_is_turned_upright(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(picture).save(tmp_path / "p.png", exif=exif)
    np.testing.assert_allclose(as_array(load_image(tmp_path / "p.png")), np.rot90(picture, -1) / 255, atol=1e-6)


def test_16_bit_grey_is_scaled(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(ramp).save(tmp_path / "g.png")
    np.testing.assert_allclose(as_array(load_image(tmp_path / "g.png"))[..., 0], ramp / 65535, atol=1e-6)


def test_16_bit_colour_tiff_comes_back_exactly(tmp_path):
    image = torch.rand(1, 3, 20, 30)
    save_image(image, tmp_path / "p.tif")
    torch.testing.assert_close(load_image(tmp_path / "p.tif"), image, atol=1 / 65535, rtol=0)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palette(picture, tmp_path, mode):
    converted = Image.fromarray(picture).convert(mode)
    converted.save(tmp_path / "p.png")
    np.testing.assert_allclose(
        as_array(load_image(tmp_path / "p.png")), np.asarray(converted.convert("RGB")) / 255, atol=1e-6
    )


def test_transparency_is_composited_and_kept(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 0] = 255  # hidden red must not leak
    pixels[:4, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "p.png")
    alpha = load_image_and_alpha(tmp_path / "p.png")[1]
    image = load_image(tmp_path / "p.png", background=(0, 0, 1))
    np.testing.assert_allclose(as_array(image)[:4], np.broadcast_to([1, 0, 0], (4, 8, 3)))
    np.testing.assert_allclose(as_array(image)[4:], np.broadcast_to([0, 0, 1], (4, 8, 3)))
    assert alpha[0, 0, :, 0].tolist() == [1] * 4 + [0] * 4
    assert load_image_and_alpha(np.zeros((8, 8, 3)))[1] is None


def test_palette_with_transparency(tmp_path):
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([255, 0, 0] + [0, 0, 0] * 255)
    picture.save(tmp_path / "p.png", transparency=0)
    assert load_image(tmp_path / "p.png").min() == 1  # all transparent on white


def test_cmyk(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "p.jpg", quality=100)
    np.testing.assert_allclose(as_array(load_image(tmp_path / "p.jpg"))[4, 4], [1, 0, 0], atol=0.03)


def test_icc_profile_is_applied(tmp_path, picture):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    Image.fromarray(picture).save(
        tmp_path / "s.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    )
    np.testing.assert_allclose(as_array(load_image(tmp_path / "s.png")), picture / 255, atol=2.5 / 255)
    Image.fromarray(picture).save(tmp_path / "b.png", icc_profile=profile.tobytes())  # a profile that does not fit RGB
    with pytest.warns(UserWarning, match=r"Lab colour profile of .*b.png does not fit it and was not applied"):
        load_image(tmp_path / "b.png")


def test_broken_icc_profile_warns(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "p.png", icc_profile=b"nonsense")
    with pytest.warns(UserWarning, match="broken and was not applied"):
        image = load_image(tmp_path / "p.png")
    np.testing.assert_allclose(as_array(image), picture / 255, atol=1e-6)


def test_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match="first frame"):
        image = load_image(tmp_path / "a.gif")
    np.testing.assert_allclose(as_array(image)[0, 0], [1, 0, 0], atol=0.01)


def bomb(width, height):
    """A PNG of a few bytes whose header promises many pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def test_bombs_are_refused_from_the_header():
    with pytest.raises(InputError, match=r"has 20000 x 20000 pixels, more than the limit of 100,000,000"):
        load_image(bomb(20000, 20000))
    with pytest.raises(InputError, match="limit of 50"):
        load_image(np.asarray(Image.new("RGB", (8, 8))).tobytes() and Image.new("RGB", (8, 8)), max_pixels=50)


def test_limit_can_be_raised():
    with pytest.raises(InputError, match="damaged or cut off"):  # now it is decoded, and found to be empty
        load_image(bomb(10001, 10001), max_pixels=200_000_000)


def test_bad_files(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "good.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:700])
    (tmp_path / "page.jpg").write_text("<html><body>Not found</body></html>")
    (tmp_path / "empty.png").write_bytes(b"")
    for name, message in [
        ("cut.jpg", "damaged or cut off"), ("page.jpg", "not a picture"), ("empty.png", "not a picture"),
        ("none.png", "no such file"), ("", "is a folder"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            load_image(tmp_path / name)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 20, 30)), r"expected an array of shape .* received \(3, 20, 30\)"),
        (np.full((4, 4, 3), 200.0), r"floats must lie in \[0, 1\], received 200 to 200"),
        (np.zeros((4, 4, 3), np.int64), "received int64"),
        (np.zeros((0, 4, 3)), "received"),
        (np.zeros((4, 4, 2)), "received"),
    ],
)
def test_bad_arrays(array, message):
    with pytest.raises(InputError, match=message):
        load_image(array)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused_with_count_and_place(bad):
    array = np.zeros((6, 7, 3), np.float32)
    array[2, 5, 1] = array[3, 0, 0] = bad
    with pytest.raises(InputError, match="has 2 values that are NaN or infinite, the first at row 2, column 5"):
        load_image(array)


def test_bad_tensors_and_types():
    with pytest.raises(InputError, match=r"received \(20, 30, 3\)"):
        load_image(torch.rand(20, 30, 3))
    with pytest.raises(TypeError, match="received int"):
        load_image(7)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"])
@pytest.mark.parametrize("transparent", [False, True])
def test_saved_pictures_tell_how_they_were_made(tmp_path, suffix, transparent):
    image = torch.from_numpy(make_picture(40, 56)).permute(2, 0, 1)[None] / 255
    alpha = torch.ones(1, 1, 40, 56) if transparent else None
    path = tmp_path / f"out{suffix}"
    settings = {"size": 512, "style_layers": {"relu1_1": 1.0}}
    save_image(image, path, alpha=alpha, settings=settings)
    assert read_settings(path) == settings
    assert (load_image(path) - image).abs().mean() < 0.04  # WebP halves the resolution of colour
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_png_and_tiff_lose_nothing_but_rounding(tmp_path):
    image = torch.rand(1, 3, 16, 16)
    for suffix, levels in ((".png", 255), (".tif", 65535)):
        save_image(image, tmp_path / f"p{suffix}")
        assert (load_image(tmp_path / f"p{suffix}") - image).abs().max() <= 0.5001 / levels


def test_alpha_survives(tmp_path):
    alpha = torch.linspace(0, 1, 64).view(1, 1, 8, 8)
    for suffix in (".png", ".webp", ".tif"):
        save_image(torch.rand(1, 3, 8, 8), tmp_path / f"p{suffix}", alpha=alpha)
        found = load_image_and_alpha(tmp_path / f"p{suffix}")[1]
        torch.testing.assert_close(found, alpha, atol=0.01, rtol=0)


def test_bad_outputs(tmp_path):
    with pytest.raises(InputError, match=r"choose one of the suffixes .png, .jpg"):
        save_image(torch.rand(1, 3, 8, 8), tmp_path / "p.bmp")
    with pytest.raises(InputError, match="does not exist"):
        save_image(torch.rand(1, 3, 8, 8), tmp_path / "nowhere" / "p.png")


def test_pictures_of_others_have_no_settings(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "p.png")
    assert read_settings(tmp_path / "p.png") is None


def test_sizes():
    assert fit_size(100, 200, 50) == (25, 50)
    assert fit_size(1, 4000, 100) == (1, 100)
    image = torch.rand(1, 3, 20, 30)
    assert resize(image, (20, 30)) is image
    assert resize(image, (7, 9)).shape == (1, 3, 7, 9)
    assert to_pil(image).size == (30, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert to_pil(image, torch.ones(1, 1, 20, 30)).mode == "RGBA"


def test_find_pictures(tmp_path):
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_pictures([tmp_path])] == ["a.jpg", "b.PNG"]
    with pytest.raises(InputError, match="no such folder"):
        find_pictures([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        find_pictures([tmp_path / "empty"])
