"""A picture file of any kind -> the 8-bit pixels that a viewer shows; or a refusal that names the file."""

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import (
    ExifTags,
    IcnsImagePlugin,
    IcoImagePlugin,
    Image,
    ImageChops,
    ImageCms,
    ImageFile,
    ImageOps,
    ImagePalette,
    PngImagePlugin,
    UnidentifiedImageError,
)

from trainables.data.colour_tags import unfollowed
from trainables.data.colours import in_srgb
from trainables.data.kinds import START_BYTES, kind_of
from trainables.errors import UserError
from trainables.text import one_line

_MOST_PIXELS = 1 << 28  # 16,384 x 16,384, which take 1 GB while they are read, and 3 with transparency
_MOST_TEXT = 1 << 28  # bytes beside the pixels of a PNG, unpacked: texts, colour profiles
_VISIBLE = 32  # of 255: a picture whose lightest and darkest shades are nearer than that shows nothing
_FORMATS_LEFT_OUT = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # Pillow runs another program for them, or has none
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_BITS, _TIFF_WHITE_IS_ZERO, _TIFF_NUMBERS = 258, 262, 339  # tags
_ROUNDING = 1e-3  # by which floats from 0 to 1 may miss that, a quarter of a shade
_TIFF_SAMPLES, _TIFF_PLANES, _TIFF_COLOURS = 277, 284, 320
_SIGNED = 2  # of numbers
_FITS_HEADER = 1 << 15  # bytes of a file, in which the size of its picture is told
_UNUSED_ALPHA = {"BMP", "DIB", "TGA"}  # formats in which a fourth channel of zeros is filling, and hides nothing
_ONE_PICTURE = {"MPO", "PSD"}  # formats whose further frames are smaller copies, or the layers of the first
_UNREAD_WORDS = ("nsupported", "nimplemented", "nknown", "cannot handle")  # Pillow's, where it lacks what a file is
_NO_WHITE = (
    "of which none is known to be white: save it with 8 or 16 bits a channel, without a sign, or as floats from 0 to 1"
)


class Flat(NamedTuple):
    """An RGB picture, and what of its file it does not show."""

    image: Image.Image
    is_transparent: bool = False  # parts of it are; they show the ground
    is_dark: bool = False  # its numbers use less than a sixteenth of what they could be: shades are lost


class Picture(NamedTuple):
    """Pixels (C, S, S) uint8, and what of the file they do not show."""

    pixels: np.ndarray
    has_frames: bool  # it has more than one; this is the first
    is_transparent: bool
    is_dark: bool
    unfollowed: tuple[str, ...] = ()  # see `trainables.data.colour_tags`


@cache
def endings() -> frozenset[str]:
    """Of the files that are taken for pictures, such as ".png"; without regard to case."""
    Image.init()
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in _formats())


def read_picture(path: Path, channels: int, side: int) -> Picture:
    """The first frame of a picture as ``channels`` (3: RGB, 1: grey) x ``side`` x ``side`` pixels: as `to_8_bits` has
    them, upright as its EXIF tag says, cut square from the centre and resized (bicubic). Raises: UserError naming the
    file and what is wrong with it, in a line."""
    try:
        with _own_limits(), Image.open(path, formats=_formats()) as opened:
            image = _whole_icon(opened)
            if image.width * image.height > _MOST_PIXELS:
                raise UserError(f"has {image.width:,} x {image.height:,} pixels, {_too_large()}")
            if image.format == "FITS" and (planes := _planes(path)) > 1:
                raise UserError(f"has {planes} planes, of which the first alone is read: save it as TIFF or PNG")
            _mend_tiff(image)
            _scale_hidden_colour(image)
            said = unfollowed(path, opened)
            is_cut = ";16" in _raw_mode(image) and image.mode[:2] in ("RG", "LA")
            with _silent_decoder(image):
                image.load()
            flat = to_8_bits(image)
            is_dark = flat.is_dark or (is_cut and _lightest(image) < 16)
            upright = _in_mode(_upright(flat.image, image), "L" if channels == 1 else "RGB")
            square = ImageOps.fit(upright, (side, side), Image.Resampling.BICUBIC)
            pixels = np.asarray(square).reshape(side, side, channels).transpose(2, 0, 1)
            return Picture(pixels, _has_frames(image), flat.is_transparent, is_dark, said)
    except UserError as error:
        raise UserError(f"{one_line(path)} {error}") from error
    except Exception as error:  # Pillow's decoders raise what they like on a damaged file
        raise UserError(f"{one_line(path)} {_fault(path, error)}") from error


def to_8_bits(image: Image.Image) -> Flat:
    """A loaded picture of any of Pillow's modes as RGB.

    What is transparent shows white; black, where on white there would be nothing to see. 16 bits (or 12) are scaled by
    the largest number that they can hold, floats from 0 to 1 by 1. Colours become those of sRGB by the file's colour
    profile or gamma; CMYK without a profile is turned to RGB by complements. Raises: UserError for other numbers, of
    which nobody can know what is white."""
    if _is_signed(image):
        raise UserError(f"has numbers with a sign, {_NO_WHITE}")
    if image.mode[0] == "F" or image.mode[0] == "I":
        return _of_numbers(image)
    if image.mode == "1" and image.format == "PSD":  # whose zeros are white
        return Flat(ImageChops.invert(image).convert("RGB"))
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None  # it would be, had it been asked to work in place
        return Flat(converted)
    if not image.has_transparency_data:
        return Flat(_in_mode(in_srgb(image, image.info), "RGB"))
    whole = image.convert({"La": "LA"}.get(image.mode, "RGBA")).convert("RGBA")
    if image.format in _UNUSED_ALPHA and not whole.getchannel("A").getbbox():
        return Flat(whole.convert("RGB"))
    return _on_ground(in_srgb(whole, image.info))


def _is_signed(image: Image.Image) -> bool:
    """Whether its numbers are integers of 8 or 16 bits with a sign, which Pillow reads as if they had none, or, of
    FITS, with their bytes exchanged."""
    tags = getattr(image, "tag_v2", {})
    if image.format == "FITS":
        return image.mode.startswith("I;16")
    return _SIGNED in tags.get(_TIFF_NUMBERS, ()) and max(tags.get(_TIFF_BITS, (1,))) <= 16


def _planes(path: Path) -> int:
    """How many a FITS file's header says that its first picture has: colours, or moments."""
    with path.open("rb") as file:
        found = re.search(rb"NAXIS3 *= *(\d+)", file.read(_FITS_HEADER))
    return int(found[1]) if found else 1


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """A picture in a mode, and no copy where it has that: one of the largest takes 1 GB."""
    return image if image.mode == mode else image.convert(mode)


def _mend_tiff(image: Image.Image) -> None:
    """Of one that is not loaded yet: a palette of bytes, as old writers made it, is one of numbers that Pillow divides
    by 256. Raises: UserError for what Pillow reads as half as many bits."""
    tags = getattr(image, "tag_v2", {})
    colours = tags.get(_TIFF_COLOURS, ())
    if image.mode == "P" and colours and max(colours) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))
    deep = tags.get(_TIFF_PLANES) == 2 and tags.get(_TIFF_SAMPLES, 1) > 1 and max(tags.get(_TIFF_BITS, (8,))) > 8
    if deep and isinstance(image, ImageFile.ImageFile) and any(tile[0] == "raw" for tile in image.tile):
        raise UserError("has planes of 16 bits, not compressed, which are not read: save it with its colours together")


def _whole_icon(image: Image.Image) -> Image.Image:
    """The PNG in an icon of Windows or of a Mac that is not loaded yet, of which Pillow forgets the transparent
    colours, and of a Mac's the palette; any other picture as it is."""
    if isinstance(image, IcoImagePlugin.IcoImageFile):
        inside = image.ico.getimage(image.size)
    elif isinstance(image, IcnsImagePlugin.IcnsImageFile):
        inside = image.icns.getimage(image.best_size)
    else:
        return image
    return inside if inside.format == "PNG" else image


def _raw_mode(image: Image.Image) -> str:
    """How the pixels lie in the file of a picture that is not loaded yet, such as RGB;16B; empty where that is not
    said."""
    tile = image.tile[:1] if isinstance(image, ImageFile.ImageFile) else []
    parameters = tile[0][3] if tile else ""
    return str(parameters[0] if isinstance(parameters, tuple) else parameters)


def _lightest(image: Image.Image) -> float:
    """The highest value of its grey or its colours, of 255."""
    *colours, alpha = np.reshape(image.getextrema(), (-1, 2)).max(axis=1)
    return float(max([*colours, *[alpha] * (image.mode == "RGB")]))


def _scale_hidden_colour(image: Image.Image) -> None:
    """Of a PNG that is not loaded yet, Pillow leaves the transparent colour in the file's own bits, and the pixels not
    where these are 2, 4 or, of RGB, 16."""
    raw, hidden = _raw_mode(image), image.info.get("transparency")
    steps = {"L;2": 85, "L;4": 17}.get(raw)
    if steps and hidden is not None:
        image.info["transparency"] = steps * hidden
    elif raw == "RGB;16B" and hidden is not None:
        image.info["transparency"] = tuple(value >> 8 for value in hidden)


def _of_numbers(image: Image.Image) -> Flat:
    """`to_8_bits` of numbers that are more than a byte each."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    if image.mode == "I" and tags and _SIGNED not in tags.get(_TIFF_NUMBERS, ()):
        values = values.view(np.uint32)
    low, high = values.min(), values.max()
    if image.mode == "F":
        white = 1.0
    elif image.mode.startswith("I;16"):
        white = 2.0 ** tags.get(_TIFF_BITS, (16,))[0] - 1
    else:
        white = 65_535.0 if image.format in ("PNG", "PPM") else 0.0  # to which Pillow scales them
    slack = _ROUNDING if image.mode == "F" else 0
    if not (white and -slack <= low <= high <= white + slack):  # NaN, too
        raise UserError(f"has numbers of 32 bits from {low:g} to {high:g}, {_NO_WHITE}")
    shades = (np.clip(values, 0, white) * np.float32(255 / white) + np.float32(0.5)).astype(np.uint8)
    if tags.get(_TIFF_WHITE_IS_ZERO) == 0:
        shades = 255 - shades
    if (hidden := image.info.get("transparency")) is None:
        shown = in_srgb(Image.fromarray(shades), image.info)
        return Flat(_in_mode(shown, "RGB"), is_dark=bool(0 < high < white / 16))
    alpha = np.where(values == hidden, 0, 255).astype(np.uint8)
    return _on_ground(in_srgb(Image.fromarray(np.dstack([shades, alpha])).convert("RGBA"), image.info))


def _on_ground(image: Image.Image) -> Flat:
    """An RGBA picture on the ground that it shows itself on."""
    if image.getchannel("A").getextrema() == (255, 255):
        return Flat(image.convert("RGB"))
    on_white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if _contrast(on_white) >= _VISIBLE:
        return Flat(on_white, is_transparent=True)
    on_black = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("RGB")
    return Flat(max(on_white, on_black, key=_contrast), is_transparent=True)


def _contrast(image: Image.Image) -> int:
    return max(int(high) - int(low) for low, high in np.reshape(image.getextrema(), (-1, 2)))


def _upright(flat: Image.Image, image: Image.Image) -> Image.Image:
    """A picture turned as its file says. Tags that are wrong are passed over, as viewers do."""
    try:
        method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # whatever a damaged block of tags comes up with
        method = None
    return flat if method is None else flat.transpose(method)


def _has_frames(image: Image.Image) -> bool:
    try:
        return image.format not in _ONE_PICTURE and bool(getattr(image, "is_animated", False))
    except Exception:  # what comes after the first is damaged, and is not read
        return True


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(sorted(set(Image.OPEN) - _FORMATS_LEFT_OUT))


@contextmanager
def _own_limits() -> Iterator[None]:
    """Within, Pillow opens what is within our limits, and says nothing of what it finds odd."""
    pixels, texts = Image.MAX_IMAGE_PIXELS, (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)
    logger = logging.getLogger("PIL")
    level = logger.level
    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = _MOST_TEXT
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        Image.MAX_IMAGE_PIXELS, (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY) = pixels, texts
        logger.setLevel(level)


@contextmanager
def _silent_decoder(image: Image.Image) -> Iterator[None]:
    """Within, nothing is written to the terminal by libtiff, which tells of damage there, and which Pillow lets."""
    try:
        terminal = os.dup(2) if image.format == "TIFF" else None
    except OSError:  # it is closed
        terminal = None
    if terminal is None:
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _too_large() -> str:
    return f"and at most {_MOST_PIXELS / 1e6:.0f} million are read: make it smaller first"


def _fault(path: Path, error: Exception) -> str:
    """What is wrong with a file that Pillow refuses, in a person's words."""
    if isinstance(error, OSError) and error.strerror and error.errno:
        return f"cannot be read: {error.strerror}"
    if isinstance(error, Image.DecompressionBombError):
        return f"has more than {2 * _MOST_PIXELS / 1e6:.0f} million pixels, {_too_large()}"
    if isinstance(error, MemoryError):
        return "takes more memory than there is: make it smaller first"
    if isinstance(error, ValueError) and ("MAX_TEXT_CHUNK" in str(error) or "text chunks" in str(error)):
        return f"has more than {_MOST_TEXT / 1e6:.0f} MB of text beside its pixels: save it without"
    is_unread = isinstance(error, UnidentifiedImageError) or any(word in str(error) for word in _UNREAD_WORDS)
    if is_unread or _kind(path).startswith(("is a TIFF", "is an icon", "is a PNG")):
        return _kind(path)  # whose decoders say the same where they lack a kind
    return "is damaged or cut off: its pixels cannot be read to their end"


def _kind(path: Path) -> str:
    """What a file is that is no picture, by how it begins."""
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return kind_of(start) or "is damaged, or no picture of a format that is read"
