"""Files that are not pictures, or pictures that cannot be decoded here, recognised by their first bytes."""

import re

_RAW = "is a camera's raw file: develop it first, as TIFF or JPEG"
_VIDEO = "is not a picture but a video: export a frame as PNG"
#: First bytes (a regular expression) -> what such a file is, and how to get a readable picture from it.
_REMEDIES = (
    (rb"\Z", "is not a picture but an empty file: get it again"),
    (rb"....ftyp(avif|avis|(mif1|msf1).{0,20}avif)", "is an AVIF picture: pip install -U pillow, or export it as PNG"),
    (rb"....ftypcrx", _RAW),
    (rb"....ftyp|RIFF....AVI |\x1aE\xdf\xa3|\x00\x00\x01[\xb3\xba]|FLV\x01", _VIDEO),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "is a JPEG XL picture: convert it to PNG first"),
    (rb"II[*]\0....CR|FUJIFILMCCD-RAW|IIRO|IIRS|MMOR|IIU\0|FOVb|II\x1a\0\0\0HEAPCCDR", _RAW),
    (rb"%PDF-", "is not a picture but a PDF document: export its page as PNG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "is not a picture but a PostScript drawing: export it as PNG"),
    (rb"v/1\x01|#\?(RADIANCE|RGBE)", "is a high-dynamic-range picture: tone-map it and save it as 16-bit TIFF or PNG"),
    (rb"version https://git-lfs", "is not a picture but a Git LFS pointer: run git lfs pull"),
    (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf", "is not a picture but an archive: unpack it first"),
)
_HEIC = rb"....ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)"
_TEXTS = (
    (rb"<svg", "is not a picture but an SVG drawing: export it as PNG"),
    (rb"<(!doctype html|html|head|body)", "is not a picture but a web page: copy the address of the picture itself"),
)
_KNOWN = rb"\x89PNG|\xff\xd8\xff|GIF8|BM|RIFF....WEBP|II\*\0|MM\0\*|II\+\0|MM\0\+|P[1-7]\s"
HEAD = 4096  # bytes to look at


def is_heic(head):
    """Whether a file with these first bytes is a HEIC picture."""
    return _begins(_HEIC, head) and b"avif" not in head[:32]


def is_tiff(head):
    """Whether a file with these first bytes is a TIFF, or one of the raw formats built on it."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_misread(head):
    """Whether Pillow would run it as a program (PostScript) or read only its preview (Canon's raw files)."""
    return _begins(rb"%!PS|\xc5\xd0\xd3\xc6|II[*]\0....CR", head)


def remedy(head):
    """What a file that could not be decoded is, and what to do about it, as the end of a sentence.

    Args:
        head: the file's first :data:`HEAD` bytes.
    """
    for start, words in _REMEDIES:
        if _begins(start, head):
            return words
    if _begins(_KNOWN, head):
        return "is damaged or cut off: get the file again"
    for start, words in _TEXTS:
        if re.search(start, head, re.IGNORECASE):
            return words
    return "is not a picture that can be read (PNG, JPEG, WebP, TIFF, GIF, BMP ...)"


def _begins(start, head):
    return re.match(start, head, re.DOTALL) is not None
