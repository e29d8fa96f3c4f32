"""What a picture's file says of its colours that Pillow does not follow, and so neither do the pixels."""

import mmap
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import ExifTags, Image

OTHER_COLOURS = "say that their colours are not sRGB's (by cICP, nclx, cHRM or the like): they are read as sRGB's"
ONE_CHANNEL = "have several channels of no known colours (Photoshop's multichannel): the first is shown, as grey"
SIGNED = "have numbers with a sign (JPEG 2000): the lowest is shown as black, as viewers do"

SAID = (SIGNED, ONE_CHANNEL, OTHER_COLOURS)

_MULTICHANNEL = b"\0\x07"  # a Photoshop file's mode
_UNSAID = 2  # by codes of ITU-T H.273, and so no other than sRGB's
_SRGB_PRIMARIES = (1, _UNSAID)
_SRGB_CURVES = (1, 6, 13, 14, 15, _UNSAID)  # those of televisions, which viewers take for sRGB's, too
_SRGB_CHROMATICITIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # x, y of white, red, green, blue
_SAME = 0.005  # by which a chromaticity may miss that: some round to two digits
_JP2_SPACES = (16, 17, 18)  # sRGB, grey of sRGB's curve, and YCC of sRGB, which is converted
_TIFF_WHITE, _TIFF_PRIMARIES = 318, 319
_ADOBE_RGB = "R03"  # how a camera's EXIF block says so, where it has no profile


def unfollowed(path: Path, image: Image.Image) -> tuple[str, ...]:
    """What is to be said of a picture that is open and not loaded yet, as the ends of sentences about it."""
    said = []
    with suppress(Exception):  # whatever damaged tags come up with
        if image.format == "JPEG2000" and _is_signed(path):
            said.append(SIGNED)
        if image.format == "PSD" and next(_after(path, b"8BPS", 22), b"")[20:] == _MULTICHANNEL:
            said.append(ONE_CHANNEL)
        if "icc_profile" not in image.info and not _is_srgb(path, image):
            said.append(OTHER_COLOURS)
    return tuple(said)


def _is_srgb(path: Path, image: Image.Image) -> bool:
    """Whether a picture without a profile says nothing of its colours, or that they are sRGB's."""
    match image.format:
        case "PNG":
            if code := next((data[:2] for name, data in _png_chunks(path) if name == b"cICP"), None):
                is_srgb = _is_srgb_code(code[0], code[1])  # it goes before the others
            else:
                is_srgb = "srgb" in image.info or _are_srgb(image, image.info.get("chromaticity", ()))
        case "AVIF":
            is_srgb = all(_is_srgb_code(*struct.unpack(">HH", code)) for code in _after(path, b"colrnclx", 4))
        case "JPEG2000":  # a method, which is 1, two bytes more, and a number
            spaces = [struct.unpack(">I", data[2:])[0] for data in _after(path, b"colr\x01", 6)]
            is_srgb = all(space in _JP2_SPACES for space in spaces)
        case "TIFF":
            tags = getattr(image, "tag_v2", {})
            is_srgb = _are_srgb(image, (*tags.get(_TIFF_WHITE, ()), *tags.get(_TIFF_PRIMARIES, ())))
        case "JPEG" | "MPO":
            interop = image.getexif().get_ifd(ExifTags.IFD.Interop)
            is_srgb = str(interop.get(1, "")).rstrip("\0") != _ADOBE_RGB
        case _:
            is_srgb = True
    return is_srgb


def _is_srgb_code(primaries: int, curve: int) -> bool:
    return primaries in _SRGB_PRIMARIES and curve in _SRGB_CURVES


def _are_srgb(image: Image.Image, chromaticities: tuple[float, ...]) -> bool:
    """Whether a picture's are, where it has all of them and any colours."""
    if len(chromaticities) != len(_SRGB_CHROMATICITIES) or image.mode[0] in "1LFI":
        return True
    return all(abs(float(it) - own) < _SAME for it, own in zip(chromaticities, _SRGB_CHROMATICITIES, strict=True))


def _is_signed(path: Path) -> bool:
    """By the first component's precision in a JPEG 2000 codestream's header (ISO 15444-1, A.5.1)."""
    return any(header[38] & 0x80 for header in _after(path, b"\xff\x4f\xff\x51", 39))


def _png_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Name and first bytes of each chunk before the pixels."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            (length,) = struct.unpack(">I", head[:4])
            yield head[4:], file.read(min(length, 8))
            file.seek(max(0, length - 8) + 4, 1)


def _after(path: Path, mark: bytes, count: int) -> Iterator[bytes]:
    """The bytes that follow where a file first has a mark, if it has."""
    with suppress(ValueError), path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(mark) + len(mark)
        if at >= len(mark) and len(found := content[at : at + count]) == count:
            yield found
