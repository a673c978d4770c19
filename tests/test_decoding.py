"""Files of every kind: read as what they are, or refused by name."""

import io
import struct
import sys
import threading
import zlib

import numpy as np
import pytest
import tifffile
import torch
from conftest import make_picture
from PIL import Image, ImageCms, ImageOps, ImageSequence

from nstlib import InputError, load_image
from nstlib.images import load_image_and_alpha

PICTURE = make_picture(40, 60)
DEEP = PICTURE.astype(np.uint16) * 257
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# What was red is blue in it: a profile that cannot be mistaken for none.
SWAPPED = SRGB.replace(b"rXYZ", b"----", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"----", b"bXYZ", 1)


def as_array(image):
    return image[0].permute(1, 2, 0).numpy()


def loaded(source):
    return as_array(load_image(source))


def transparency(source):
    return load_image_and_alpha(source)[1][0, 0].numpy()


def file_of(image, kind="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def tiff_of(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def with_profile(profile):
    """The option of ``tiff_of`` for a profile, a tag of undefined type: old versions of tifffile have none for it."""
    return {"extratags": [(34675, 7, len(profile), profile, True)]}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(*chunks):
    data = file_of(PICTURE)
    return data[:33] + b"".join(chunks) + data[33:]


# What the channels of a TIFF mean


def test_deep_cmyk_tiff_is_converted_as_one_of_8_bits():
    ink = np.dstack([255 - PICTURE, PICTURE[..., :1] // 2])
    expected = loaded(Image.fromarray(ink, "CMYK"))
    np.testing.assert_allclose(loaded(tiff_of(ink.astype(np.uint16) * 257, photometric="separated")), expected)
    assert load_image_and_alpha(tiff_of(ink.astype(np.uint16) * 257, photometric="separated"))[1] is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_with_white_as_zero(dtype):
    grey = (PICTURE[..., 0] / 255 * (1 if dtype == np.float32 else np.iinfo(dtype).max)).astype(dtype)
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    np.testing.assert_allclose(loaded(tiff_of(white - grey, photometric="miniswhite")), loaded(grey), atol=1e-6)


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colours", [1, 3])
def test_alpha_of_a_tiff(planes, dtype, colours):
    pixels = (DEEP if dtype == np.uint16 else PICTURE)[..., :colours]
    alpha = np.linspace(0, np.iinfo(dtype).max, 40 * 60).reshape(40, 60, 1).astype(dtype)
    array = np.dstack([pixels, alpha])
    data = tiff_of(
        array if planes == "contig" else np.moveaxis(array, -1, 0),
        photometric="rgb" if colours == 3 else "minisblack", planarconfig=planes, extrasamples=["unassalpha"],
        metadata=None,
    )  # fmt: skip
    image, found = load_image_and_alpha(data)
    np.testing.assert_allclose(as_array(image), loaded(pixels), atol=1e-6)
    np.testing.assert_allclose(found[0, 0], alpha[..., 0] / np.iinfo(dtype).max, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_premultiplied_colours_are_divided_once(dtype):
    top = np.iinfo(dtype).max
    alpha = np.full((40, 60, 1), top // 2, dtype)
    colours = (PICTURE / 255 * (alpha / top) * top).round().astype(dtype)
    data = tiff_of(np.dstack([colours, alpha]), photometric="rgb", extrasamples=["assocalpha"])
    np.testing.assert_allclose(as_array(load_image_and_alpha(data)[0]), PICTURE / 255, atol=1.5 / top * 2)


def test_channels_that_are_not_declared_alpha_are_left_out():
    data = tiff_of(np.dstack([DEEP, DEEP[..., :1]]), photometric="rgb", extrasamples=["unspecified"])
    image, alpha = load_image_and_alpha(data)
    np.testing.assert_allclose(as_array(image), PICTURE / 255, atol=1e-6)
    assert alpha is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lab_and_many_channels_are_refused(dtype):
    with pytest.raises(InputError, match="RGB"):
        load_image(tiff_of(PICTURE.astype(dtype), photometric="cielab"))
    bands = np.zeros((20, 30, 5), dtype)
    with pytest.raises(InputError, match="has 5 channels"):
        load_image(tiff_of(bands, photometric="minisblack", planarconfig="contig"))


@pytest.mark.parametrize("array", [DEEP, PICTURE, (PICTURE / 255).astype(np.float32), DEEP[..., 0]])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_is_turned_upright(array, orientation):
    plain = loaded(array)
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(file_of(_bytes(plain), exif=exif))))
    kind = "rgb" if array.ndim == 3 else "minisblack"
    data = tiff_of(array, photometric=kind, extratags=[(0x0112, "H", 1, orientation, True)])
    np.testing.assert_allclose(loaded(data), np.asarray(expected) / 255, atol=1e-6)


def _bytes(array):
    return (array * 255).round().astype(np.uint8)


def test_numbers_without_a_range_are_refused():
    with pytest.raises(InputError, match="received int32 with values from"):
        load_image(tiff_of(PICTURE.astype(np.int32), photometric="rgb"))
    with pytest.raises(InputError, match=r"floats must lie in \[0, 1\]"):
        load_image(tiff_of(PICTURE.astype(np.float32), photometric="rgb"))
    grey = Image.fromarray(PICTURE).convert("L")
    for mode in ("I", "F"):  # 8-bit values, which 16 bits' scale would make black
        with pytest.raises(InputError, match=r"values from \d+ to \d+ of an unknown range; scale them"):
            load_image(grey.convert(mode))


def test_16_bits_of_other_files():
    np.testing.assert_allclose(loaded(file_of(DEEP[..., 0]))[..., 0], DEEP[..., 0] / 65535, atol=1e-6)
    header = b"P5 60 40 65535\n" + DEEP[..., 0].astype(">u2").tobytes()
    np.testing.assert_allclose(loaded(header)[..., 0], DEEP[..., 0] / 65535, atol=1e-6)


def test_compression_that_only_pillow_unpacks():
    for mode in ("RGB", "L"):
        picture = Image.fromarray(PICTURE).convert(mode)
        data = file_of(picture, "TIFF", compression="tiff_lzw")
        np.testing.assert_allclose(loaded(data), loaded(picture), atol=1e-6)
    np.testing.assert_allclose(
        loaded(file_of(DEEP[..., 0], "TIFF", compression="tiff_lzw"))[..., 0], DEEP[..., 0] / 65535, atol=1e-6
    )


# Which picture of a file


def test_the_picture_and_not_its_thumbnail():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(PICTURE[:12, :16], photometric="rgb", subfiletype=1, subifds=1)
        writer.write(DEEP, photometric="rgb", subfiletype=0)
    np.testing.assert_allclose(loaded(file.getvalue()), PICTURE / 255, atol=1e-6)


@pytest.mark.parametrize("sensor", ["cfa", "linear_raw"])
def test_raw_files_are_refused(sensor):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(PICTURE[:12, :16], photometric="rgb", subfiletype=1, subifds=1)
        tags = [(33421, "H", 2, (2, 2), True), (33422, "B", 4, b"\0\1\1\2", True)] if sensor == "cfa" else []
        writer.write(DEEP[..., 0] if tags else DEEP, photometric=sensor, subfiletype=0, extratags=tags)
    with pytest.raises(InputError, match="raw file, of which only the 16 x 12 preview can be read: develop it"):
        load_image(file.getvalue())


def test_pages_of_a_tiff():
    pages = np.stack([PICTURE, 255 - PICTURE])
    with pytest.warns(UserWarning, match="several pages: the first is used"):
        image = load_image(tiff_of(pages, photometric="rgb"))
    np.testing.assert_allclose(as_array(image), PICTURE / 255, atol=1e-6)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_a_pil_picture_is_the_frame_at_which_it_stands(kind):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    data = file_of(frames[0], kind, save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(data)) as picture:
        for index, frame in enumerate(ImageSequence.Iterator(picture)):
            assert loaded(frame)[8, 8].argmax() == index
            assert picture.tell() == index


# Beside the pixels


@pytest.mark.parametrize(
    "odd",
    [
        chunk(b"eXIf", b"garbage!"),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3 << 20))),  # more text than Pillow takes
        chunk(b"tEXt", b"Title\0x")[:-1] + b"!",  # a wrong checksum
        chunk(b"gAMA", struct.pack(">I", 100000))[:-1] + b"!",
    ],
)
def test_nothing_beside_the_pixels_refuses_a_picture(odd):
    np.testing.assert_allclose(loaded(png_with(odd)), PICTURE / 255, atol=1e-6)


def test_repair_keeps_what_belongs_to_the_colours():
    long_text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3 << 20)))
    linear = chunk(b"gAMA", struct.pack(">I", 100000))
    np.testing.assert_allclose(loaded(png_with(long_text, linear)), loaded(png_with(linear)))


def test_transparent_colour_and_profile():
    pixels = PICTURE.copy()
    pixels[:20] = 255, 0, 255
    for options in ({}, {"icc_profile": SRGB}, {"icc_profile": SWAPPED}):
        found = transparency(file_of(pixels, transparency=(255, 0, 255), **options))
        assert found.mean(1).tolist() == [0] * 20 + [1] * 20
    grey = pixels[..., 1]
    for data in (file_of(grey, transparency=0), file_of(grey.astype(np.uint16) * 257, transparency=0)):
        np.testing.assert_array_equal(transparency(data), grey != 0)


@pytest.mark.parametrize(
    "data",
    [
        file_of(PICTURE, icc_profile=SWAPPED),
        file_of(PICTURE, "TIFF", icc_profile=SWAPPED),
        tiff_of(DEEP, photometric="rgb", **with_profile(SWAPPED)),
        file_of(np.dstack([PICTURE, PICTURE[..., :1]]), icc_profile=SWAPPED),
        file_of(Image.fromarray(PICTURE).quantize(), icc_profile=SWAPPED),
    ],
    ids=["PNG", "TIFF", "deep TIFF", "RGBA", "palette"],
)
def test_profile_is_applied_to_every_kind(data):
    image = as_array(load_image_and_alpha(data)[0])
    tolerance = 4 / 255
    plain = (
        as_array(load_image_and_alpha(data.replace(SWAPPED[:-1], SRGB[:-1]))[0]) if SWAPPED in data else PICTURE / 255
    )
    if "P" in Image.open(io.BytesIO(data)).mode:
        plain = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) / 255
    np.testing.assert_allclose(image, plain[..., ::-1], atol=tolerance)


def test_srgb_profile_costs_no_bits():
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    np.testing.assert_allclose(loaded(tiff_of(deep, photometric="rgb", **with_profile(SRGB))), deep / 65535, atol=1e-6)


def test_grey_picture_with_the_profile_of_its_colours():
    grey = PICTURE[..., 0]
    for kind in ("JPEG", "PNG"):  # without a warning
        np.testing.assert_allclose(
            loaded(file_of(grey, kind, icc_profile=SRGB)), loaded(file_of(grey, kind)), atol=1e-6
        )


def test_profile_of_other_colours_is_not_applied():
    for picture in (Image.fromarray(PICTURE).convert("CMYK"),):
        with pytest.warns(
            UserWarning, match="RGB colour profile of the bytes given does not fit it and was not applied"
        ):
            image = load_image(file_of(picture, "TIFF", icc_profile=SRGB))
        np.testing.assert_allclose(as_array(image), loaded(picture), atol=1e-6)


def test_gamma_of_a_png():
    def with_gamma(value, *others):
        return loaded(png_with(chunk(b"gAMA", struct.pack(">I", value)), *others))

    np.testing.assert_allclose(with_gamma(100000), (PICTURE / 255) ** (1 / 2.2), atol=1e-5)
    for usual in (45455, 45000, 0):
        np.testing.assert_allclose(with_gamma(usual), PICTURE / 255, atol=1e-6)
    np.testing.assert_allclose(with_gamma(100000, chunk(b"sRGB", b"\0")), PICTURE / 255, atol=1e-6)


# Files that cannot be read


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"", "is not a picture but an empty file"),
        (b"\0\0\0\x18ftypisom", "is not a picture but a video: export a frame"),
        (b"\x1aE\xdf\xa3webm", "is not a picture but a video: export a frame"),
        (b"\xff\x0a\0\0", "is a JPEG XL picture: convert it"),
        (b"II*\0\x10\0\0\0CR\2\0", "is a camera's raw file: develop it"),
        (b"FUJIFILMCCD-RAW 0201", "is a camera's raw file: develop it"),
        (b"\0\0\0\x18ftypcrx ", "is a camera's raw file: develop it"),
        (b"%PDF-1.7", "is not a picture but a PDF document: export its page"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture but a PostScript drawing"),
        (b'<?xml version="1.0"?>\n<svg xmlns=', "is not a picture but an SVG drawing"),
        (b"\n<!DOCTYPE HTML><html>", "is not a picture but a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "run git lfs pull"),
        (b"PK\3\4", "is not a picture but an archive: unpack it"),
        (b"II*\0\x08\0\0\0", "is damaged or cut off"),
        (b"GIF89a", "is damaged or cut off"),
        (file_of(PICTURE)[:20], "is damaged or cut off"),
        (file_of(PICTURE)[:2000], "is damaged or cut off"),
        (file_of(PICTURE, "JPEG")[:300], "is damaged or cut off"),
        (tiff_of(DEEP)[:-5000], "is damaged or cut off"),
        (tiff_of(PICTURE, compression="zlib")[:-2000], "is damaged or cut off"),
        (b"hello", r"is not a picture that can be read \(PNG, JPEG"),
    ],
)
def test_what_a_file_is_instead(head, message):
    with pytest.raises(InputError, match=message):
        load_image(head)


def test_heic():
    try:
        import pillow_heif
    except ImportError:
        with pytest.raises(InputError, match="is a HEIC picture: pip install pillow-heif, or export it as JPEG"):
            load_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
        return
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(PICTURE)).save(file, quality=100)
    assert np.abs(loaded(file.getvalue()) - PICTURE / 255).mean() < 0.06  # HEIC halves the resolution of colour
    with pytest.raises(InputError, match="is damaged or cut off"):
        load_image(file.getvalue()[:500])


def test_pil_pictures_that_turn_out_cut_off(tmp_path):
    data = file_of(PICTURE)
    (tmp_path / "p.png").write_bytes(data[:2000])
    message = "the PIL image is damaged, cut off or closed"
    with Image.open(tmp_path / "p.png") as picture, pytest.raises(InputError, match=message):
        load_image(picture)


def test_pil_picture_is_left_as_it_was():
    with Image.open(io.BytesIO(file_of(PICTURE, transparency=(1, 2, 3)))) as picture:
        load_image(picture)
        assert (picture.mode, picture.size, picture.info["transparency"]) == ("RGB", (60, 40), (1, 2, 3))


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "CMYK", "YCbCr", "HSV"]
)
def test_every_mode_of_pillow(mode):
    by = {"La": "LA", "PA": "P", "RGBA": "RGBA", "RGBa": "RGBA"}.get(mode, "RGB")
    picture = Image.fromarray(PICTURE).convert(by).convert(mode)
    image, alpha = load_image_and_alpha(picture)
    assert image.shape == (1, 3, 40, 60)
    assert (alpha is not None) == (mode in ("LA", "La", "PA", "RGBA", "RGBa"))
    assert abs(image.mean() - PICTURE.mean() / 255) < 0.1


def test_pillows_limit_outlives_threads():
    before, interval = Image.MAX_IMAGE_PIXELS, sys.getswitchinterval()
    data = file_of(PICTURE[:4, :4])
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [load_image(data) for _ in range(40)]) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
        after, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, before
    assert after == before


def test_ambient_settings_of_torch():
    rgba = np.dstack([PICTURE, PICTURE[..., :1]])
    expected = load_image(rgba)
    with torch.inference_mode():
        image = load_image(rgba)
    assert not image.is_inference()
    torch.testing.assert_close(image, expected)
    with torch.device("meta"):
        torch.testing.assert_close(load_image(rgba), expected)
    torch.set_default_dtype(torch.float64)
    try:
        torch.testing.assert_close(load_image(rgba), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.inference_mode():
        given = expected * 1
    assert not load_image(given).is_inference()


@pytest.mark.parametrize("chunk", [(b"gAMA", b"1"), (b"sRGB", b""), (b"iCCP", b""), (b"tRNS", b"1")])
def test_chunks_cut_short_refuse_no_picture(chunk, picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    data, (kind, body) = buffer.getvalue(), chunk
    odd = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    image = load_image(data[:33] + odd + data[33:])
    np.testing.assert_allclose(image[0].permute(1, 2, 0), picture / 255, atol=1e-6)


def test_a_closed_pil_picture_is_refused(picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as closed:
        pass
    with pytest.raises(InputError, match="closed"):
        load_image(closed)
