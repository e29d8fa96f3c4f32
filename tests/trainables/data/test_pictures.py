"""A picture of any kind as the 8-bit pixels that a viewer shows."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from support.image_sets import error_of

from trainables.data.datasets import load_dataset
from trainables.data.pictures import endings, read_picture, to_8_bits
from trainables.errors import UserError

RAMP = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))  # 64 shades of grey
NOISE = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
OTHER_TIFF = "is a TIFF of a kind that is not read (by its bits a channel, planes or compression), or is damaged or cut"
LIBRARY_WORDS = ("PIL", "Pngimageplugin", "Errno", "bomb", "Traceback", "buffer", "decoder", "0x")


def ramp_in(mode: str) -> Image.Image:
    grey = Image.fromarray(RAMP)
    if mode.startswith("I;16"):
        return Image.frombytes(mode, (64, 64), (RAMP.astype(">u2" if mode == "I;16B" else "<u2") * 257).tobytes())
    if mode == "F":
        return Image.fromarray((RAMP / 255).astype(np.float32))
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(grey.convert("RGB"), srgb, lab, outputMode="LAB")
    by_way_of = {"La": "LA", "RGBa": "RGBA", "PA": "P", "YCbCr": "RGB", "HSV": "RGB"}.get(mode, mode)
    return grey.convert(by_way_of).convert(mode)


def pixels_of(path, side: int | None = None) -> np.ndarray:
    """(H, W, C) of a square picture that is not resized."""
    if side is None:
        with Image.open(path) as image:
            side = image.width
    return read_picture(path, 3, side).pixels.transpose(1, 2, 0)


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file by the standard, of which Pillow writes only some kinds."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    sums = [struct.pack(">I", zlib.crc32(name + data)) for name, data in parts]
    body = [struct.pack(">I", len(part[1])) + b"".join(part) + end for part, end in zip(parts, sums, strict=True)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def png_of_xcode() -> bytes:
    """A PNG of an app for iOS: a chunk before the header, and pixels without the ends that zlib gives them."""
    rows = bytes(64 * 65)
    content, packed = png(64, 64, 8, 0, rows), zlib.compress(rows)
    own = struct.pack(">I", 4) + b"CgBI" + b"\x50\0\x20\6"
    own += struct.pack(">I", zlib.crc32(own[4:]))
    raw = zlib.compressobj(wbits=-15)
    bare = raw.compress(rows) + raw.flush()
    chunk = struct.pack(">I", len(bare)) + b"IDAT" + bare + struct.pack(">I", zlib.crc32(b"IDAT" + bare))
    whole = struct.pack(">I", len(packed)) + b"IDAT" + packed + struct.pack(">I", zlib.crc32(b"IDAT" + packed))
    return (content[:8] + own + content[8:]).replace(whole, chunk)


MODES = "L LA La P PA RGB RGBA RGBX RGBa CMYK YCbCr LAB HSV I;16 I;16B I;16L I;16N F"


@pytest.mark.parametrize("mode", MODES.split())
def test_every_mode_keeps_its_shades(mode):
    flat, *flags = to_8_bits(ramp_in(mode))
    assert (flat.mode, any(flags)) == ("RGB", False)
    off_by = {"YCbCr": 1, "LAB": 2}.get(mode, 0)  # these have no number for every grey
    assert np.abs(np.asarray(flat).astype(int) - RAMP[..., None]).max() <= off_by


def test_black_and_white_is_black_and_white():
    flat, *_ = to_8_bits(Image.fromarray(RAMP >= 128))
    np.testing.assert_array_equal(np.asarray(flat)[..., 0], np.where(RAMP >= 128, 255, 0))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "a.jp2"])
def test_sixteen_bits_of_grey_are_scaled_as_a_whole(tmp_path, name):
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / name)
    np.testing.assert_array_equal(pixels_of(tmp_path / name)[..., 0], RAMP)


def tiff(bits: int, white_is_zero: bool, strip: bytes, numbers: int = 1, channels: int = 1) -> bytes:
    """An uncompressed grey TIFF of 64 x 64, little-endian; `numbers` are 1: natural, 2: with a sign, 3: floats."""
    entries = {256: 64, 257: 64, 258: bits, 259: 1, 262: int(not white_is_zero)}
    entries |= {273: 8, 277: channels, 278: 64, 279: len(strip), 339: numbers}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(entries)) + table + bytes(4)


def test_a_tiff_of_16_bits_whose_zero_is_white_is_turned(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(16, True, (RAMP.astype("<u2") * 257).tobytes()))
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.tif")[..., 0], 255 - RAMP)


def test_a_tiff_of_floats_whose_zero_is_white_is_turned(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(32, True, (RAMP / 255).astype("<f4").tobytes(), 3))
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.tif")[..., 0], 255 - RAMP)


def refused(path) -> str:
    with pytest.raises(UserError) as caught:
        read_picture(path, 3, 8)
    return str(caught.value).removeprefix(f"{path} ")


@pytest.mark.parametrize(("bits", "kind"), [(8, "i1"), (16, "<i2")])
def test_numbers_with_a_sign_have_no_known_white(tmp_path, bits, kind):
    values = (RAMP.astype(int) - 128) * (1 if bits == 8 else 256)
    (tmp_path / "a.tif").write_bytes(tiff(bits, False, values.astype(kind).tobytes(), 2))
    assert refused(tmp_path / "a.tif").startswith("has numbers with a sign, of which none is known to be white")


def test_natural_numbers_of_32_bits_are_told_as_they_are(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(32, False, (RAMP.astype("<u4") * 16_843_009).tobytes()))
    assert refused(tmp_path / "a.tif").startswith("has numbers of 32 bits from 0 to 4.24444e+09, ")


@pytest.mark.parametrize(("bits", "channels", "numbers"), [(64, 1, 3), (16, 1, 3), (64, 1, 1), (16, 2, 1)])
def test_a_tiff_that_is_not_read_is_not_called_damaged_alone(tmp_path, bits, channels, numbers):
    (tmp_path / "a.tif").write_bytes(tiff(bits, False, bytes(64 * 64 * bits * channels // 8), numbers, channels))
    assert refused(tmp_path / "a.tif").startswith(
        "is a TIFF of a kind that is not read (by its bits a channel, planes or compression)"
    )


def fits(bits: int, values: np.ndarray) -> bytes:
    cards = ["SIMPLE  =                    T", f"BITPIX  = {bits:20}", f"NAXIS   = {values.ndim:20}"]
    cards += [f"NAXIS{axis}  = {size:20}" for axis, size in enumerate(reversed(values.shape), 1)] + ["END"]
    return b"".join(card.ljust(80).encode() for card in cards).ljust(2880) + values[::-1].tobytes()


def test_fits_of_bytes_is_read_and_of_16_bits_is_not_as_they_have_a_sign(tmp_path):
    (tmp_path / "a.fits").write_bytes(fits(8, RAMP))
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.fits")[..., 0], RAMP)
    (tmp_path / "b.fits").write_bytes(fits(16, RAMP.astype(">i2") * 100))
    assert refused(tmp_path / "b.fits").startswith("has numbers with a sign")


def test_fits_of_three_colours_is_refused_as_its_first_alone_would_be_read(tmp_path):
    (tmp_path / "one.fits").write_bytes(fits(8, RAMP[None]))
    np.testing.assert_array_equal(pixels_of(tmp_path / "one.fits")[..., 0], RAMP)
    (tmp_path / "three.fits").write_bytes(fits(8, np.stack([RAMP, 255 - RAMP, RAMP])))
    assert refused(tmp_path / "three.fits").startswith("has 3 planes, of which the first alone is read")


def photoshop(mode: int, planes: list[np.ndarray]) -> bytes:
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, len(planes), 64, 64, 8 if mode else 1, mode)
    return header + bytes(12) + bytes(2) + b"".join(plane.tobytes() for plane in planes)


def test_the_modes_of_photoshop_are_read(tmp_path):
    ink = [255 - RAMP, RAMP.T, np.full_like(RAMP, 9), np.zeros_like(RAMP)]
    black = np.packbits(RAMP < 128, axis=1)  # a 1 is black
    grounds = {0: [black], 1: [RAMP], 3: [255 - plane for plane in ink[:3]], 4: [255 - plane for plane in ink]}
    for mode, planes in grounds.items():
        (tmp_path / "a.psd").write_bytes(photoshop(mode, planes))
        expected = {0: np.where(RAMP < 128, 0, 255), 1: RAMP}.get(mode, 255 - np.dstack(ink[:3]))
        shown = pixels_of(tmp_path / "a.psd")
        np.testing.assert_array_equal(shown, np.broadcast_to(expected.reshape(64, 64, -1), shown.shape))


@pytest.mark.parametrize("kind", ["tga", "bmp"])
def test_a_fourth_channel_of_zeros_in_a_format_that_seldom_uses_it_hides_nothing(tmp_path, kind):
    body = np.dstack([NOISE[:40, :, ::-1], np.zeros((40, 40), np.uint8)]).tobytes()
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 40, 40, 32, 0x20)
    if kind == "bmp":
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        info = struct.pack("<IiiHHIIiiII", 108, 40, -40, 1, 32, 3, len(body), 0, 0, 0, 0) + masks
        header = b"BM" + struct.pack("<IHHI", 122 + len(body), 0, 0, 122) + info.ljust(108, b"\0")
    (tmp_path / f"a.{kind}").write_bytes(header + body)
    np.testing.assert_array_equal(pixels_of(tmp_path / f"a.{kind}"), NOISE[:40])


def test_pictures_of_which_nothing_is_seen_are_counted(tmp_path):
    (tmp_path / "x/a").mkdir(parents=True)
    for number in range(4):
        drawn = Image.new("RGBA", (16, 16), (9, number, 200, 0))
        if number == 0:
            drawn.putpixel((3, 3), (0, 0, 0, 255))
        drawn.save(tmp_path / f"x/a/{number}.png")
    notes = load_dataset(f"imagefolder:{tmp_path / 'x'}", image_size=16).notes
    assert any(note.startswith("4 picture(s) are transparent in parts") for note in notes)
    assert "3 picture(s) of these show nothing but the ground: what they hold is transparent" in notes


def test_a_tiff_of_12_bits_has_white_at_4095(tmp_path):
    values = (RAMP.astype(int) * 4095 // 255).reshape(-1, 2)
    packed = np.stack([values[:, 0] >> 4, (values[:, 0] & 15) << 4 | values[:, 1] >> 8, values[:, 1] & 255], axis=1)
    (tmp_path / "a.tif").write_bytes(tiff(12, False, packed.astype(np.uint8).tobytes()))
    assert np.abs(pixels_of(tmp_path / "a.tif")[..., 0].astype(int) - RAMP).max() <= 1


def test_sixteen_bits_of_colour_keep_the_upper_eight_and_their_transparent_one(tmp_path):
    colours = np.zeros((8, 8, 3), ">u2")
    colours[:, :4] = 0x1200, 0x3400, 0x5600
    colours[:, 4:] = 0x9800, 0x7600, 0x5400
    rows = b"".join(b"\0" + row.tobytes() for row in colours)
    (tmp_path / "a.png").write_bytes(png(8, 8, 16, 2, rows))
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.png"), (colours >> 8).astype(np.uint8))
    (tmp_path / "b.png").write_bytes(png(8, 8, 16, 2, rows, (b"tRNS", colours[0, 0].tobytes())))
    np.testing.assert_array_equal(pixels_of(tmp_path / "b.png")[:, :4], 255)
    np.testing.assert_array_equal(pixels_of(tmp_path / "b.png")[:, 4:], (colours[:, 4:] >> 8).astype(np.uint8))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("is_white_hidden", [True, False])
def test_the_transparent_shade_of_few_bits_shows_the_ground(tmp_path, depth, is_white_hidden):
    white = 2**depth - 1
    bits = "0" * 4 * depth + "1" * 4 * depth  # black, then white
    row = b"\0" + int(bits, 2).to_bytes(depth, "big")
    hidden = struct.pack(">H", white if is_white_hidden else 0)
    (tmp_path / "a.png").write_bytes(png(8, 8, depth, 0, row * 8, (b"tRNS", hidden)))
    picture = read_picture(tmp_path / "a.png", 1, 8)
    assert picture.is_transparent
    # the ground is white behind black, and black behind white
    np.testing.assert_array_equal(picture.pixels[0, 0], [0] * 4 + [255] * 4)


def test_the_transparent_shade_of_16_bits_of_grey_shows_the_ground(tmp_path):
    grey = np.where(RAMP < 128, 1000, 30_000).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    (tmp_path / "a.png").write_bytes(png(64, 64, 16, 0, rows, (b"tRNS", struct.pack(">H", 1000))))
    picture = read_picture(tmp_path / "a.png", 1, 64)
    assert picture.is_transparent
    np.testing.assert_array_equal(picture.pixels[0], np.where(RAMP < 128, 255, round(30_000 / 257)))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "La", "RGBa", "PA"])
@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (255, 0), (128, 255)])
def test_ink_on_a_transparent_ground_is_seen(mode, ink, ground):
    drawn = np.zeros((32, 32, 4), np.uint8)
    drawn[..., :3] = ink  # hidden outside of the square
    drawn[8:24, 8:24, 3] = 255
    image = Image.fromarray(drawn)
    if mode == "PA":
        image = image.convert("P").convert("PA")
        image.putalpha(Image.fromarray(drawn[..., 3]))
    elif mode == "La":
        image = image.convert("LA")
    flat, is_transparent, _ = to_8_bits(image.convert(mode))
    assert is_transparent
    shades = np.asarray(flat)[..., 0]
    assert abs(int(shades[16, 16]) - ink) <= 1
    assert shades[0, 0] == ground


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])])
def test_a_transparent_colour_of_a_palette_shows_the_ground(tmp_path, transparency):
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % 3, "P")
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 250])
    image.save(tmp_path / "a.png", transparency=transparency)
    expected = np.array([[0, 0, 0], [255, 255, 255], [0, 0, 250]], np.uint8)[np.asarray(image)]
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.png"), expected)


def test_half_transparent_ink_is_mixed_with_white(tmp_path):
    grey = Image.new("RGBA", (8, 8), (0, 0, 0, 51))
    grey.putpixel((0, 0), (0, 0, 0, 255))
    grey.save(tmp_path / "a.webp", lossless=True)
    assert pixels_of(tmp_path / "a.webp")[7, 7, 0] == 255 - 51


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_photo_is_upright(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(NOISE).save(tmp_path / name, exif=exif.tobytes())
    with Image.open(tmp_path / name) as image:
        expected = ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), (16, 16), Image.Resampling.BICUBIC)
    picture = read_picture(tmp_path / name, 3, 16)
    np.testing.assert_array_equal(picture.pixels.transpose(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0nonsense",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        # ASCII where a number belongs, and a comment that leads nowhere
        b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x02\0\x02\0\0\x006\0\0\0\x86\x92\x07\0\xff\0\0\0\xff\xff\xff\x7f\0\0\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x02\0\6\0\6\0\0\0\0",  # two orientations
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_tags_that_are_wrong_are_passed_over(tmp_path, name, exif, recwarn, capfd):
    Image.fromarray(NOISE).save(tmp_path / name, exif=exif)
    assert read_picture(tmp_path / name, 3, 16).pixels.shape == (3, 16, 16)
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


def test_sixteen_bits_of_which_few_are_used_are_said_to_be_dark(tmp_path):
    (tmp_path / "x/a").mkdir(parents=True)
    for number in range(4):  # what a camera of 12 bits leaves; and one that uses all
        values = RAMP.astype(np.uint16) * (16 if number else 257)
        Image.fromarray(values).save(tmp_path / f"x/a/{number}.tif")
    notes = load_dataset(f"imagefolder:{tmp_path / 'x'}").notes
    assert any(note.startswith("3 picture(s) use less than a sixteenth of their 16 bits") for note in notes)


@pytest.mark.parametrize("kind", [2, 4, 6], ids=["RGB", "grey and alpha", "RGB and alpha"])
@pytest.mark.parametrize("most", [4_095, 65_535])
def test_sixteen_bits_a_channel_are_dark_as_those_of_grey_are(tmp_path, kind, most):
    channels = {2: 3, 4: 2, 6: 4}[kind]
    values = np.repeat(np.linspace(0, most, 64).astype(">u2").reshape(8, 8, 1), channels, axis=2)
    if kind != 2:
        values[..., -1] = 65_535  # opaque
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    (tmp_path / "a.png").write_bytes(png(8, 8, 16, kind, rows))
    picture = read_picture(tmp_path / "a.png", 3, 8)
    assert picture.is_dark == (most == 4_095)
    assert picture.pixels.max() == most >> 8


@pytest.mark.parametrize(("name", "pages"), [("a.gif", 3), ("a.png", 2), ("a.webp", 2), ("a.tif", 3)])
def test_of_several_frames_the_first_is_read_and_that_is_said(tmp_path, name, pages):
    (tmp_path / "x").mkdir()
    first, *others = (Image.new("RGB", (16, 16), (60 * i, 0, 0)) for i in range(pages))
    for number in range(3):
        first.save(tmp_path / "x" / name.replace("a", str(number)), save_all=True, append_images=others, lossless=True)
    data = load_dataset(f"imagefolder:{tmp_path / 'x'}", image_size=16)
    assert not data.train.images.any()
    assert "3 picture(s) have several frames or pages: the first is read" in data.notes


def test_a_png_with_much_text_and_a_large_profile_is_read(tmp_path):
    text = PngImagePlugin.PngInfo()
    for number in range(3):
        text.add_text(f"workflow {number}", "x" * 30_000_000, zip=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(3_000_000)
    Image.fromarray(NOISE[:40]).save(tmp_path / "a.png", pnginfo=text, icc_profile=profile)
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.png", 40), NOISE[:40])
    assert PngImagePlugin.MAX_TEXT_CHUNK < 30_000_000  # this process's own is as it was


def test_a_png_of_more_text_than_can_be_held_says_what_to_do(tmp_path):
    packed = zlib.compress(bytes(300_000_000), 9)
    rows = b"\0" * 9 * 8
    for name, chunk in (("a.png", (b"zTXt", b"x\0\0" + packed)), ("b.png", (b"iCCP", b"x\0\0" + packed))):
        (tmp_path / name).write_bytes(png(8, 8, 8, 0, rows, chunk))
        with pytest.raises(UserError) as caught:
            read_picture(tmp_path / name, 3, 8)
        assert str(caught.value) == f"{tmp_path / name} has more than 268 MB of text beside its pixels: save it without"


def test_a_photo_of_100_million_pixels_is_read(tmp_path):
    Image.new("1", (10_000, 10_000), 1).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png", 1, 8).pixels == 255).all()


@pytest.mark.parametrize("side", [20_000, 40_000])
def test_a_picture_beyond_the_limit_says_what_to_do(tmp_path, side):
    (tmp_path / "a.png").write_bytes(png(side, side, 8, 0, b"\0"))
    with pytest.raises(UserError, match="million") as caught:
        read_picture(tmp_path / "a.png", 3, 16)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'a.png'} has ")
    assert message.endswith("pixels, and at most 268 million are read: make it smaller first")


@pytest.mark.parametrize(
    ("values", "is_read"),
    [
        (np.full((8, 8), 0.5, np.float32), True),
        (np.full((8, 8), -0.5, np.float32), False),
        (np.full((8, 8), 200, np.float32), False),
        (np.full((8, 8), np.nan, np.float32), False),
        (np.full((8, 8), np.inf, np.float32), False),
        (np.full((8, 8), 5, np.int32), False),
        (np.zeros((8, 8), np.int32), False),
    ],
)
def test_numbers_of_32_bits_are_read_where_it_is_known_what_is_white(tmp_path, values, is_read):
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    if is_read:
        assert (read_picture(path, 1, 8).pixels == 128).all()
        return
    with pytest.raises(UserError, match=r"a\.tif has numbers of 32 bits from .* save it with 8 or 16 bits a channel"):
        read_picture(path, 1, 8)


@pytest.mark.parametrize("by", [1e-7, -1e-7, 1e-4, -1e-4])
def test_floats_that_miss_0_and_1_by_rounding_are_read(tmp_path, by):
    values = (RAMP / RAMP.max()).astype(np.float32)
    Image.fromarray(values + np.float32(by)).save(tmp_path / "a.tif")
    expected = np.round(255 * values).astype(int)
    assert np.abs(pixels_of(tmp_path / "a.tif")[..., 0] - expected).max() <= 1
    assert {0, 255} <= set(pixels_of(tmp_path / "a.tif").ravel().tolist())


def encoded(kind: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(NOISE).save(stream, kind, **options)
    return stream.getvalue()


def icon_of_windows(inside: bytes) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 128, 128, 0, 0, 1, 8, len(inside), 22) + inside


def bmp_of_bits(bits: int) -> bytes:
    content = bytearray(encoded("BMP"))
    content[28:30] = struct.pack("<H", bits)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"not an image", "no picture of a format that is read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "is damaged"),
        (b"<!DOCTYPE html><html>404", "is a web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "a drawing in text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "`git lfs pull`"),
        (bytes([0, 0, 0, 24]) + b"ftypheic" + bytes(16), "HEIC"),
        (b"PK\3\4", "unpack it"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "PostScript"),
        (encoded("PNG")[:300], "cut off"),
        (encoded("JPEG")[:700], "cut off"),
        (encoded("GIF")[:900], "cut off"),
        (encoded("WEBP")[:90], ""),
        (bmp_of_bits(2), "is a BMP of a kind that is not read (by its bits a channel"),
        (png_of_xcode(), "is a PNG as Xcode packs it for iOS"),
        (icon_of_windows(encoded("JPEG")), "is an icon of a kind that is not read"),
        (encoded("AVIF")[:600], "is an AVIF of a kind that is not read (by its bits a channel"),
        (encoded("TIFF", compression="tiff_deflate")[:-400], ""),
        (encoded("TIFF", compression="tiff_deflate").replace(b"x\x9c", b"x\x9d\xff", 1), ""),
    ],
)
def test_a_file_that_is_no_picture_is_named_in_a_persons_words(tmp_path, content, fault, recwarn, capfd):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_picture(path, 3, 16)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert fault in message
    assert not [word for word in LIBRARY_WORDS if word in message.removeprefix(str(path))]
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


def test_a_picture_is_known_by_what_it_holds_and_not_by_its_name(tmp_path):
    for name, kind in (("a.png", "JPEG"), ("b.jpg", "PNG"), ("c.bmp", "GIF"), ("d.webp", "TIFF"), ("e.gif", "AVIF")):
        (tmp_path / name).write_bytes(encoded(kind))
        assert read_picture(tmp_path / name, 3, 16).pixels.any()


def test_endings_are_those_of_pictures():
    assert {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jp2", ".pgm", ".ico"} <= endings()
    assert not endings() & {".eps", ".ps", ".pdf", ".mpg", ".h5", ".svg", ".txt", ""}


def test_ordinary_pictures_are_read_as_ever_to_the_last_bit(tmp_path):
    """What one line of Pillow makes of them, which was all that there was before."""
    exif = Image.Exif()
    exif[0x0112] = 6
    colour, grey = Image.fromarray(NOISE), Image.fromarray(NOISE[..., 0])
    for name, image, options in (
        ("a.jpg", colour, {"exif": exif}),
        ("b.png", colour, {}),
        ("c.png", grey, {}),
        ("d.jpg", grey, {}),
        ("e.png", colour.convert("P"), {}),
        ("f.png", grey.convert("1"), {}),
        ("g.jpg", colour.convert("CMYK"), {}),
        ("h.webp", colour, {}),
        ("i.bmp", colour, {}),
        ("j.png", colour.convert("RGBA"), {}),
    ):
        image.save(tmp_path / name, **options)
        with Image.open(tmp_path / name) as opened:
            square = ImageOps.fit(ImageOps.exif_transpose(opened).convert("RGB"), (16, 16), Image.Resampling.BICUBIC)
        picture = read_picture(tmp_path / name, 3, 16)
        np.testing.assert_array_equal(picture.pixels, np.asarray(square).transpose(2, 0, 1))
        assert not picture.is_transparent


def test_a_grey_folder_is_said_to_be_and_may_have_one_channel(tmp_path):
    root = tmp_path / "x"
    (root / "a").mkdir(parents=True)
    for number in range(4):
        Image.fromarray(NOISE[..., 0] // (number + 1)).save(root / f"a/{number}.png")
    colour = load_dataset(f"imagefolder:{root}", image_size=16)
    assert any("greyfolder:PATH" in note for note in colour.notes)
    grey = load_dataset(f"greyfolder:{root}", image_size=16)
    assert grey.image_shape == (1, 16, 16)
    assert not any("greyfolder" in note for note in grey.notes)
    for split, same in ((colour.train, grey.train), (colour.test, grey.test)):
        np.testing.assert_array_equal(split.images, np.repeat(same.images, 3, axis=1))
    Image.fromarray(NOISE).save(root / "a/colour.png")
    assert not any("greyfolder" in note for note in load_dataset(f"imagefolder:{root}").notes)


def test_all_files_that_cannot_be_read_are_counted_in_one_error(tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(10):
        Image.fromarray(NOISE).save(tmp_path / f"a/{number}.png")
    for number in (1, 5, 7):
        (tmp_path / f"a/{number}.png").write_bytes(b"")
    first, second = error_of(f"imagefolder:{tmp_path}").splitlines()
    assert first == f"{tmp_path}/a/1.png is empty"
    assert second.startswith(f"mend or remove it, and 2 others that cannot be read: {tmp_path}/a/")
    for number in range(10, 50):
        (tmp_path / f"a/{number}.png").write_bytes(b"")
    assert "and 19 or more others" in error_of(f"imagefolder:{tmp_path}")


def tiff_of(path, tags: dict[int, tuple[int, ...]], planes: list[bytes]):
    """One of 8 x 8 pixels without compression, of these tags and planes; numbers are of 16 bits, offsets of 32."""
    base = {256: (8,), 257: (8,), 259: (1,), 278: (8,)}
    tags = base | tags | {273: (0,) * len(planes), 279: tuple(map(len, planes))}
    entries, extra = [], b""
    at = 8 + 2 + 12 * len(tags) + 4
    sizes = sum(4 * len(planes) * (tag in (273, 279)) or 2 * len(values) for tag, values in tags.items())
    places = [at + sizes + 64 + sum(map(len, planes[:n])) for n in range(len(planes))]
    for tag, values in sorted((tags | {273: tuple(places)}).items()):
        kind, form = (4, "I") if tag in (273, 279) else (3, "H")
        content = struct.pack(f"<{len(values)}{form}", *values)
        place = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack("<I", at + len(extra))
        extra += b"" if len(content) <= 4 else content
        entries.append(struct.pack("<HHI", tag, kind, len(values)) + place)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + b"".join(entries) + struct.pack("<I", 0)
    path.write_bytes((head + extra).ljust(places[0], b"\0") + b"".join(planes))
    return path


def test_planes_of_grey_and_transparency_are_not_called_damaged_alone(tmp_path):
    tags = {258: (8, 8), 262: (1,), 277: (2,), 284: (2,), 338: (2,)}
    path = tiff_of(tmp_path / "a.tif", tags, [bytes([200] * 64), bytes([128] * 64)])
    assert refused(path).startswith(OTHER_TIFF)


def test_a_compression_that_is_not_read_is_not_called_damaged_alone(tmp_path, capfd):
    webp = encoded("WEBP", lossless=True)
    tags = {256: (40,), 257: (50,), 258: (8, 8, 8), 259: (50_001,), 262: (2,), 277: (3,), 278: (50,)}
    path = tiff_of(tmp_path / "a.tif", tags, [webp])
    assert refused(path).startswith(OTHER_TIFF)
    assert capfd.readouterr() == ("", "")


def test_a_palette_of_bytes_is_read_as_such(tmp_path):
    shades = [0] * 256
    red, green, blue = ([200, 20, *shades[2:]], [30, 180, *shades[2:]], [40, 60, *shades[2:]])
    tags = {258: (8,), 262: (3,), 277: (1,), 320: (*red, *green, *blue)}
    path = tiff_of(tmp_path / "old.tif", tags, [bytes([0, 1] * 32)])
    assert read_picture(path, 3, 8).pixels[:, 0, :2].T.tolist() == [[200, 30, 40], [20, 180, 60]]
    many = tiff_of(tmp_path / "new.tif", tags | {320: tuple(257 * it for it in tags[320])}, [bytes([0, 1] * 32)])
    assert (read_picture(many, 3, 8).pixels == read_picture(path, 3, 8).pixels).all()


def test_planes_of_sixteen_bits_are_read_right_or_refused(tmp_path):
    planes = [np.full((8, 8), 257 * shade, "<u2").tobytes() for shade in (200, 30, 40)]
    tags = {258: (16, 16, 16), 262: (2,), 277: (3,), 284: (2,)}
    with pytest.raises(UserError, match=r"deep\.tif has planes of 16 bits, not compressed, which are not read"):
        read_picture(tiff_of(tmp_path / "deep.tif", tags, planes), 3, 8)
    flat = [bytes([shade] * 64) for shade in (200, 30, 40)]
    found = read_picture(tiff_of(tmp_path / "flat.tif", tags | {258: (8, 8, 8)}, flat), 3, 8)
    assert found.pixels[:, 0, 0].tolist() == [200, 30, 40]


def avif_of(*codes: int) -> bytes:
    """An AVIF whose colours' codes (ITU-T H.273: primaries, curve) are exchanged."""
    content, mark = encoded("AVIF"), b"colrnclx"
    at = content.index(mark) + len(mark)
    return content[:at] + struct.pack(">HH", *codes) + content[at + 4 :]


DISPLAY_P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)


def png_of(*chunks: tuple[bytes, bytes], kind: int = 2) -> bytes:
    rows = b"".join(b"\0" + bytes(range(8 * (3 if kind == 2 else 1))) for _ in range(8))
    return png(8, 8, 8, kind, rows, *chunks)


def chromaticities(values) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(100_000 * it) for it in values))


def tiff_with(values) -> bytes:
    image, stream = Image.fromarray(NOISE), io.BytesIO()
    image.save(stream, "TIFF", tiffinfo={318: values[:2], 319: values[2:]})
    return stream.getvalue()


def jpeg_of_interop(index: str) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: index}
    return encoded("JPEG", exif=exif)


def jp2_of(space: int) -> bytes:
    content, mark = encoded("JPEG2000"), b"colr\x01\0\0"
    at = content.index(mark) + len(mark)
    return content[:at] + struct.pack(">I", space) + content[at + 4 :]


GAMMA, SAID_TO_BE_SRGB = (b"gAMA", struct.pack(">I", 45_455)), (b"sRGB", b"\0")
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
OTHER_COLOURS = {
    "cICP of Display P3": png_of((b"cICP", bytes([12, 13, 0, 1]))),
    "cICP of HDR": png_of((b"cICP", bytes([9, 16, 0, 1])), SAID_TO_BE_SRGB),
    "cICP of HDR, grey": png_of((b"cICP", bytes([1, 16, 0, 1])), kind=0),
    "cHRM alone": png_of(chromaticities(DISPLAY_P3)),
    "cHRM and gAMA": png_of(GAMMA, chromaticities(DISPLAY_P3)),
    "nclx of HDR": avif_of(9, 16),
    "nclx of Display P3": avif_of(12, 13),
    "a TIFF's primaries": tiff_with(DISPLAY_P3),
    "a camera's Adobe RGB": jpeg_of_interop("R03"),
}
SRGBS = {
    "nothing": png_of(),
    "cICP": png_of((b"cICP", bytes([1, 13, 0, 1])), chromaticities(DISPLAY_P3)),
    "cHRM": png_of(GAMMA, chromaticities(SRGB)),
    "sRGB before cHRM": png_of(SAID_TO_BE_SRGB, chromaticities(DISPLAY_P3)),
    "a profile before cHRM": png_of((b"iCCP", b"x\0\0" + zlib.compress(PROFILE)), chromaticities(DISPLAY_P3)),
    "grey has no primaries": png_of(chromaticities(DISPLAY_P3), kind=0),
    "nclx": avif_of(1, 13),
    "nclx of television": avif_of(1, 1),
    "nclx that says nothing": avif_of(2, 2),
    "a TIFF's primaries": tiff_with(SRGB),
    "a camera's sRGB": jpeg_of_interop("R98"),
    "JPEG 2000": jp2_of(16),
    "cut cICP": png_of((b"cICP", b"")),
}


@pytest.mark.parametrize("name", OTHER_COLOURS)
def test_colours_that_are_not_srgb_s_are_counted_where_they_are_not_converted(tmp_path, name):
    (tmp_path / "a").mkdir()
    for number in range(3):
        (tmp_path / f"a/{number}").with_suffix(".png").write_bytes(OTHER_COLOURS[name])
    notes = load_dataset(f"imagefolder:{tmp_path}", image_size=8).notes
    assert (
        "3 picture(s) say that their colours are not sRGB's (by cICP, nclx, cHRM or the like): they are read as sRGB's"
        in notes
    )


@pytest.mark.parametrize("name", SRGBS)
def test_of_colours_that_are_srgb_s_nothing_is_said(tmp_path, name):
    (tmp_path / "a.png").write_bytes(SRGBS[name])
    assert read_picture(tmp_path / "a.png", 3, 8).unfollowed == ()


@pytest.mark.parametrize("name", ["a.jp2", "a.j2k"])
def test_numbers_of_jpeg_2000_with_a_sign_are_said_to_be(tmp_path, name):
    (tmp_path / "a").mkdir()
    for number in range(3):
        Image.fromarray(RAMP).save(tmp_path / "a" / f"{number}{name}", signed=True)
        Image.fromarray(RAMP).save(tmp_path / "a" / f"plain{number}{name}")
    notes = load_dataset(f"imagefolder:{tmp_path}", image_size=8).notes
    assert "3 picture(s) have numbers with a sign (JPEG 2000): the lowest is shown as black, as viewers do" in notes


def test_channels_of_no_known_colours_are_said_to_be(tmp_path):
    """Photoshop's multichannel mode, uncompressed: a header, three empty blocks, and 2 channels of 16 x 16."""
    (tmp_path / "a").mkdir()
    header = struct.pack(">4sH6xHIIHHIII", b"8BPS", 1, 2, 16, 16, 8, 7, 0, 0, 0)
    for number in range(3):
        pixels = bytes(range(256)) + bytes([number]) * 256
        (tmp_path / f"a/{number}.psd").write_bytes(header + b"\0\0" + pixels)
    data = load_dataset(f"imagefolder:{tmp_path}", image_size=16)
    assert any("3 picture(s) have several channels of no known colours" in note for note in data.notes)


def icon_of_a_mac(inside: bytes) -> bytes:
    return b"icns" + struct.pack(">I4sI", 16 + len(inside), b"ic07", 8 + len(inside)) + inside


@pytest.mark.parametrize("icon_of", [icon_of_windows, icon_of_a_mac])
@pytest.mark.parametrize("alpha", [{}, {"transparency": bytes([0] * 32)}], ids=["opaque", "transparent"])
def test_the_png_in_an_icon_keeps_its_palette_and_its_transparency(tmp_path, icon_of, alpha):
    inside = io.BytesIO()
    Image.radial_gradient("L").resize((128, 128)).convert("RGB").quantize(64).save(inside, "PNG", **alpha)
    (tmp_path / "inside.png").write_bytes(inside.getvalue())
    (tmp_path / "icon.ico").write_bytes(icon_of(inside.getvalue()))
    icon, shown = (read_picture(tmp_path / name, 3, 128) for name in ("icon.ico", "inside.png"))
    assert icon.is_transparent == shown.is_transparent == bool(alpha)
    assert np.array_equal(icon.pixels, shown.pixels)
