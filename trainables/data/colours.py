"""The colours of a picture as its file means them -> those of sRGB, which a viewer shows."""

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms

_SCREEN_GAMMA = 2.2
_SAME = 0.05  # a power that differs from 1 by less is not seen
_LARGE = 1 << 22  # bytes of a profile that is not kept for the next picture
_ROUNDED = 2  # of 255: profiles of sRGB by other programs differ by no more


def in_srgb(image: Image.Image, about: Mapping[Any, Any]) -> Image.Image:
    """A loaded picture of 8 bits a channel with the colours of sRGB, by what ``about`` (Pillow's ``image.info``) has of
    it: a colour profile, else the gamma of a PNG (its specification, section 12.22: not where it is said to be sRGB).
    Its own numbers where there is neither, or a profile that is damaged or another mode's, as viewers show them."""
    if profile := about.get("icc_profile"):
        return _by_profile(image, profile)
    gamma = about.get("gamma")
    if not gamma or "srgb" in about or abs((power := 1 / (_SCREEN_GAMMA * gamma)) - 1) < _SAME:
        return image
    shades = [round(255 * (shade / 255) ** power) for shade in range(256)]
    colours = image.convert("RGB" if image.mode not in ("L", "RGBA") else image.mode)
    return colours.point([*shades * 3, *range(256)] if colours.mode == "RGBA" else shades * len(colours.getbands()))


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Grey has equal channels; what has alpha keeps it."""
    find = _conversion if len(profile) <= _LARGE else _conversion.__wrapped__
    conversion = find(profile, image.mode)
    if conversion is None or (conversion.mode == "L" and not _is_grey(image)):
        return image
    shown = ImageCms.applyTransform(image.convert(conversion.mode), conversion.transform)
    assert shown is not None  # it would be, had it been asked to work in place
    if conversion.mode == "L":
        shown = shown.convert("L").convert("RGB")
        if image.mode == "RGBA":
            shown.putalpha(image.getchannel("A"))
    return shown


def _is_grey(image: Image.Image) -> bool:
    red, *others = image.convert("RGB").split()
    return all(other == red for other in others)


class _Conversion(NamedTuple):
    transform: ImageCms.ImageCmsTransform
    mode: str  # of what is converted


@lru_cache(maxsize=8)
def _conversion(profile: bytes, mode: str) -> _Conversion | None:
    """How the colours of a profile become those of sRGB in pictures of a mode; None where they are the same, and where
    the profile is damaged or of other colours."""
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        is_grey = source.profile.xcolor_space.strip() == "GRAY"
        if mode == "L" and not is_grey:
            return None
        taken = "L" if is_grey else mode if mode in ("RGBA", "CMYK") else "RGB"
        shown = "RGBA" if taken == "RGBA" else "RGB"
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        transform = ImageCms.buildTransform(source, srgb, taken, shown)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if taken != "CMYK":
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
        before = Image.fromarray(colours).convert(taken)
        after = ImageCms.applyTransform(before, transform)
        assert after is not None
        numbers = (np.asarray(picture.convert("RGB")).astype(int) for picture in (before, after))
        if np.abs(np.subtract(*numbers)).max() <= _ROUNDED:
            return None
    return _Conversion(transform, taken)
