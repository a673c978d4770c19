"""Pictures in and out: every kind works or is refused by name."""

import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image, ImageCms
from torch.overrides import TorchFunctionMode

from nstlib import InputError, load_image, read_settings, save_image
from nstlib.images import check_output, fit_size, load_image_and_alpha, resize, to_pil
from nstlib.pictures.sources import find_pictures


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
        load_image(Image.new("RGB", (8, 8)), max_pixels=50)


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
    with pytest.raises(InputError, match="meta device"):
        load_image(torch.rand(3, 5, 5, device="meta"))
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


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_straight_colours_come_back(tmp_path, suffix):
    save_image(Image.new("RGBA", (32, 32), (200, 100, 50, 128)), tmp_path / f"p{suffix}")
    image, alpha = load_image_and_alpha(tmp_path / f"p{suffix}")
    found = torch.cat([image, alpha], 1)[0, :, 16, 16] * 255
    torch.testing.assert_close(found, torch.tensor([200.0, 100, 50, 128]), atol=1.01, rtol=0)


def test_jpeg_is_composited_on_white(tmp_path):
    hidden = np.zeros((32, 32, 4), np.uint8)
    hidden[..., 0] = 255
    save_image(hidden, tmp_path / "p.jpg")
    assert load_image(tmp_path / "p.jpg").min() > 0.99


def test_every_kind_of_picture_is_saved(tmp_path, picture):
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    kinds = [picture, picture / 255, picture.astype(np.uint16) * 257, tensor, tensor[None] / 255]
    for kind in [*kinds, Image.fromarray(picture), tensor.double() / 255]:
        save_image(kind, tmp_path / "p.png")
        np.testing.assert_allclose(as_array(load_image(tmp_path / "p.png")), picture / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.full((1, 3, 8, 8), float("nan")), "192 values that are NaN"),
        (torch.rand(2, 3, 8, 8), r"received \(2, 3, 8, 8\)"),
        (torch.rand(1, 2, 8, 8), r"received \(1, 2, 8, 8\)"),
        (torch.rand(1, 3, 8, 8) * 255, r"floats must lie in \[0, 1\]"),
    ],
)
def test_what_is_no_picture_is_not_saved(tmp_path, image, message):
    with pytest.raises(InputError, match=message):
        save_image(image, tmp_path / "p.png")
    assert not list(tmp_path.iterdir())


def test_what_is_no_picture_has_no_preview():
    with pytest.raises(InputError, match="NaN"):
        to_pil(torch.full((1, 3, 8, 8), float("nan")))
    with pytest.raises(InputError, match=r"received \(2, 3, 8, 8\)"):
        to_pil(torch.rand(2, 3, 8, 8))
    assert to_pil(torch.full((1, 3, 1, 1), 1.5)).getpixel((0, 0)) == (255, 255, 255)


def test_alpha_of_another_size_is_refused(tmp_path):
    for alpha in (torch.ones(1, 1, 4, 8), torch.ones(1, 3, 8, 8)):
        with pytest.raises(InputError, match=r"expected alpha of shape \(1, 1, 8, 8\)"):
            save_image(torch.rand(1, 3, 8, 8), tmp_path / "p.png", alpha=alpha)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_the_note_takes_any_value(tmp_path, suffix):
    settings = {"device": torch.device("cpu"), "size": np.int64(9), "rate": np.float32(0.5), "init": np.zeros(2),
                "path": tmp_path, ("a", 1): {"layers": ("relu1_1", torch.float32)}}  # fmt: skip
    save_image(np.zeros((8, 8, 3)), tmp_path / f"p{suffix}", settings=settings)
    assert read_settings(tmp_path / f"p{suffix}") == {
        "device": "cpu", "size": 9, "rate": 0.5, "init": "[0. 0.]", "path": str(tmp_path),
        "('a', 1)": {"layers": ["relu1_1", "torch.float32"]},
    }  # fmt: skip


def test_a_note_too_long_for_a_jpeg_costs_no_picture(tmp_path):
    with pytest.warns(UserWarning, match="too long for a JPEG"):
        save_image(np.zeros((8, 8, 3)), tmp_path / "p.jpg", settings={"text": "x" * 70000})
    assert read_settings(tmp_path / "p.jpg") is None


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


@pytest.mark.parametrize(
    ("suffix", "size", "fits"),
    [(".webp", (16, 16384), False), (".webp", (16383, 16), True), (".jpg", (65501, 16), False),
     (".jpeg", (16, 65500), True), (".png", (16, 70000), True), (".tif", (70000, 16), True)],
)  # fmt: skip
def test_sizes_that_a_format_cannot_hold(tmp_path, suffix, size, fits):
    path = tmp_path / f"p{suffix}"
    if fits:
        assert check_output(path, size) == path
    else:
        with pytest.raises(InputError, match=r"pixels a side, and the picture has .*; choose .png or .tif"):
            check_output(path, size)


def test_largest_webp_can_be_written(tmp_path):
    save_image(np.zeros((1, 16383, 3), np.uint8), tmp_path / "p.webp")
    assert load_image(tmp_path / "p.webp").shape == (1, 3, 1, 16383)
    with pytest.raises(InputError, match="at most 16383"):
        save_image(np.zeros((1, 16384, 3), np.uint8), tmp_path / "p.webp")


def test_home_folder_and_links(tmp_path, picture, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save_image(picture, "~/p.png", settings={"size": 1})
    assert read_settings("~/p.png") == {"size": 1}
    assert len(find_pictures(["~"])) == 1
    (tmp_path / "disk").mkdir()
    (tmp_path / "latest.png").symlink_to(tmp_path / "disk" / "real")  # the name given decides the format
    save_image(picture, "~/latest.png")
    assert (tmp_path / "latest.png").is_symlink()
    np.testing.assert_allclose(as_array(load_image(tmp_path / "disk" / "real")), picture / 255, atol=1e-6)


def test_full_disk(tmp_path):
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        try:
            with pytest.raises(InputError, match=r"could not write .*; save the picture elsewhere"):
                save_image(noise, tmp_path / f"p{suffix}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_settings_of_what_is_no_picture(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_settings(tmp_path / "none.png")
    (tmp_path / "page.png").write_text("<html>")
    with pytest.raises(InputError, match="but a web page"):
        read_settings(tmp_path / "page.png")
    save_image(np.zeros((8, 8, 3)), tmp_path / "p.tif", settings={"size": 1})
    (tmp_path / "cut.tif").write_bytes((tmp_path / "p.tif").read_bytes()[:6])
    with pytest.raises(InputError, match="damaged or cut off"):
        read_settings(tmp_path / "cut.tif")


@pytest.mark.parametrize("note", ["", "[1]", '"text"', '{"nstlib": 3}', "{", "null"])
def test_notes_of_others_are_no_settings(tmp_path, picture, note):
    exif = Image.Exif()
    exif[0x010E] = note
    Image.fromarray(picture).save(tmp_path / "p.jpg", exif=exif)
    assert read_settings(tmp_path / "p.jpg") is None


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


class WithoutAntialiasing(TorchFunctionMode):
    """A device like Apple's MPS before torch 2.8: the first resampling, on the device, is not implemented."""

    missing = True

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.nn.functional.interpolate and self.missing:
            self.missing = False
            raise NotImplementedError("The operator 'aten::_upsample_bicubic2d_aa.out' is not implemented for MPS")
        return function(*args, **(kwargs or {}))


def test_resize_where_the_device_cannot():
    image = torch.rand(1, 3, 20, 30)
    with WithoutAntialiasing() as device:
        resized = resize(image, (7, 9))
    assert not device.missing
    torch.testing.assert_close(resized, resize(image, (7, 9)))


def test_resized_pictures_stay_in_range():
    image = (torch.rand(1, 3, 40, 60) > 0.5).float()  # hard edges, which bicubic curves overshoot
    for size in ((90, 131), (11, 7), (1, 1)):
        resized = resize(image, size)
        assert resized.shape[2:] == size
        assert 0 <= resized.min() <= resized.max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_smallest_pictures(tmp_path, size, suffix):
    image = torch.full((1, 3, *size), 0.5)
    save_image(image, tmp_path / f"p{suffix}", alpha=torch.zeros(1, 1, *size))
    found, alpha = load_image_and_alpha(tmp_path / f"p{suffix}")
    assert found.shape == image.shape
    assert suffix == ".jpg" or not alpha.any()  # nothing to see, and no error


def test_pictures_without_pixels_are_refused():
    with pytest.raises(InputError, match=r"has no pixels \(0 x 5\)"):
        load_image(Image.new("RGB", (0, 5)))
    with pytest.raises(InputError, match="received"):
        load_image(torch.rand(1, 3, 0, 5))


def test_arrays_of_other_libraries(picture):
    class Foreign:
        def __array__(self, dtype=None, copy=None):
            return picture

    deep = picture.astype(np.uint16) * 257
    sources = [picture[None], deep.astype(">u2"), (picture / 255).astype(">f4"), (picture / 255).astype(np.float16),
               np.ma.array(picture), Foreign(), torch.from_numpy(deep).permute(2, 0, 1)]  # fmt: skip
    for source in sources:
        image = load_image(source)
        assert image.dtype == torch.float32
        np.testing.assert_allclose(as_array(image), picture / 255, atol=1e-3)
    with pytest.raises(InputError, match="has 3 masked values: fill or crop them"):
        load_image(np.ma.array(picture, mask=np.arange(picture.size).reshape(picture.shape) < 3))


def test_find_pictures(tmp_path):
    for name in ("b.PNG", "a.jpg", "notes.txt", "._a.jpg"):
        (tmp_path / name).touch()
    assert [path.name for path in find_pictures([tmp_path])] == ["a.jpg", "b.PNG"]
    with pytest.raises(InputError, match="no such folder"):
        find_pictures([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        find_pictures([tmp_path / "empty"])


@pytest.mark.parametrize("background", [2, "red", (1, 1), (255, 255, 255), (0, 0, float("nan"))])
def test_backgrounds_that_are_no_colour(background):
    with pytest.raises(InputError, match="background must be"):
        load_image(np.zeros((4, 4, 4), np.uint8), background=background)


@pytest.mark.parametrize("limit", ["x", -1, 0, float("nan")])
def test_limits_that_are_no_number_of_pixels(limit):
    with pytest.raises(InputError, match="max_pixels must be a whole number"):
        load_image(np.zeros((4, 4, 3), np.uint8), max_pixels=limit)


def test_tensors_of_other_layouts():
    image = torch.rand(3, 20, 30)
    torch.testing.assert_close(load_image(image.to_sparse())[0], image)
    assert load_image(torch._neg_view(torch.zeros(3, 4, 4))).abs().max() == 0
    with pytest.raises(TypeError, match="expected alpha as a tensor"):
        save_image(image, "v.png", alpha=0.5)
