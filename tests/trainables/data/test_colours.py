"""The colours that a file means, as a viewer shows them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from trainables.data import colours
from trainables.data.colours import in_srgb
from trainables.data.pictures import read_picture

NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def tag_places(profile: bytes) -> dict[bytes, int]:
    (count,) = struct.unpack(">I", profile[128:132])
    return {profile[at : at + 4]: at for at in range(132, 132 + 12 * count, 12)}


def with_red_and_blue_exchanged() -> bytes:
    """sRGB's profile, in which the first number is the blue."""
    profile, places = bytearray(SRGB), tag_places(SRGB)
    red, blue = (slice(places[name] + 4, places[name] + 12) for name in (b"rXYZ", b"bXYZ"))
    profile[red], profile[blue] = profile[blue], profile[red]
    return bytes(profile)


def of_grey(gamma: float) -> bytes:
    """A profile of grey, by the ICC's specification: a D50 white and a curve."""
    tags = {
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">iii", 63_190, 65_536, 54_061),
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0",
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(79),
    }
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), b"lcms", 0x2100000, b"mntr", b"GRAY", b"XYZ ")
    head = head.ljust(36, b"\0") + b"acsp"
    return head.ljust(68, b"\0") + struct.pack(">iii", 63_190, 65_536, 54_061) + bytes(48) + table + body


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jpg"])
def test_a_colour_profile_is_applied(tmp_path, name):
    image = Image.fromarray(np.kron(NOISE[:5, :5], np.ones((8, 8, 1), np.uint8)))
    options = {"lossless": True} if name == "a.webp" else {"quality": 100, "subsampling": 0}
    image.save(tmp_path / name, icc_profile=with_red_and_blue_exchanged(), **options)
    shown = read_picture(tmp_path / name, 3, 40).pixels.transpose(1, 2, 0).astype(int)
    assert np.abs(shown - np.asarray(image)[..., ::-1]).max() <= 3


def test_a_palette_and_transparency_are_kept_by_a_profile(tmp_path):
    profile = with_red_and_blue_exchanged()
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % 3, "P")
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 250])
    image.save(tmp_path / "a.png", transparency=1, icc_profile=profile)
    expected = np.array([[0, 0, 0], [255, 255, 255], [250, 0, 0]])[np.asarray(image)]
    shown = read_picture(tmp_path / "a.png", 3, 8).pixels.transpose(1, 2, 0)
    assert np.abs(shown.astype(int) - expected).max() <= 2


def test_a_profile_of_many_bytes_is_not_kept():
    before = colours._conversion.cache_info().currsize
    image = Image.fromarray(NOISE)
    assert in_srgb(image, {"icc_profile": SRGB + bytes(colours._LARGE)}) is image
    assert colours._conversion.cache_info().currsize == before


def test_the_profile_of_srgb_changes_no_number():
    for mode in ("RGB", "RGBA", "L", "CMYK"):
        image = Image.fromarray(NOISE).convert(mode)
        assert in_srgb(image, {"icc_profile": SRGB}) is image


@pytest.mark.parametrize("profile", [b"nonsense", SRGB[:200], SRGB[:-400], of_grey(1.0)])
def test_a_profile_that_is_damaged_or_of_other_colours_is_passed_over(profile):
    image = Image.fromarray(NOISE)
    assert in_srgb(image, {"icc_profile": profile}) is image


def test_a_profile_of_grey_keeps_grey_grey():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    light = (ramp / 255) ** 1.8
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    alpha = Image.fromarray(255 - ramp)
    whole = Image.fromarray(ramp).convert("RGBA")
    whole.putalpha(alpha)
    for image in (Image.fromarray(ramp), whole):
        shown = np.asarray(in_srgb(image, {"icc_profile": of_grey(1.8)}))
        assert np.abs(shown[..., :3] - expected[..., None]).max() <= 2
        assert (shown[..., :3] == shown[..., :1]).all()
    np.testing.assert_array_equal(shown[..., 3], alpha)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_the_gamma_of_a_png_is_applied_and_leaves_alpha(mode):
    image = Image.fromarray(NOISE).convert(mode)
    shown = in_srgb(image, {"gamma": 1.0})
    before = np.asarray(image.convert(shown.mode)).reshape(40, 40, -1)
    after = np.asarray(shown).reshape(40, 40, -1)
    np.testing.assert_array_equal(after[..., :3], np.round(255 * (before[..., :3] / 255) ** (1 / 2.2)))
    np.testing.assert_array_equal(after[..., 3:], before[..., 3:])


@pytest.mark.parametrize("about", [{}, {"gamma": 0.45455}, {"gamma": 0}, {"gamma": 1.0, "srgb": 0}])
def test_the_gamma_of_a_screen_changes_no_number(about):
    image = Image.fromarray(NOISE)
    assert in_srgb(image, about) is image


def test_16_bits_of_grey_have_their_gamma_applied(tmp_path):
    values = np.tile(np.linspace(0, 65_535, 40).astype(np.uint16), (40, 1))
    Image.fromarray(values).save(tmp_path / "plain.png")
    plain = (tmp_path / "plain.png").read_bytes()
    body = b"gAMA" + struct.pack(">I", 100_000)
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "a.png").write_bytes(plain[:33] + chunk + plain[33:])
    shown = read_picture(tmp_path / "a.png", 1, 40).pixels[0]
    assert np.abs(shown - 255 * (values / 65_535) ** (1 / 2.2)).max() <= 4  # of which the darkest step is 5 wide
