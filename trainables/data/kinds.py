"""What a file is that is not what its name says, by how it begins."""

_OTHER_KIND = (
    "of a kind that is not read (by its bits a channel, planes or compression), or is damaged or cut off: "
    "save it as PNG with 8 or 16 bits"
)
_KINDS = (  # how files begin that are often found under another's name; what they are, and the way out
    (b"version https:", "is a pointer of Git LFS, and not the file: `git lfs pull` fetches it"),
    (b"<", "is a web page or a drawing in text (HTML, SVG), and not what its name says"),
    (b"ftypavi", f"is an AVIF {_OTHER_KIND}"),
    (b"ftyp", "is a video, or a picture in a format that is not read (such as HEIC): save it as JPEG or PNG"),
    (b"%PDF", "is a PDF: save its pages as PNG"),
    (b"%!PS", "is PostScript: save it as PNG"),
    (b"PK", "is an archive: unpack it"),
    (b"7z\xbc\xaf", "is an archive: unpack it"),
    (b"Rar!", "is an archive: unpack it"),
    (b"\x1f\x8b", "is packed (gzip): unpack it"),
    (b"\xfd7zXZ", "is packed (xz): unpack it"),
    (b"BZh", "is packed (bzip2): unpack it"),
    (b"\xff\x0a", "is a JPEG XL, which is not read: save it as JPEG or PNG"),
    (b"\0\0\0\x0cJXL ", "is a JPEG XL, which is not read: save it as JPEG or PNG"),
    (b"\xff\xd8\xff", f"is a JPEG {_OTHER_KIND}"),
    *((magic, f"is a TIFF {_OTHER_KIND}") for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI", "is a PNG as Xcode packs it for iOS: save it anew, as plain PNG"),
    (b"8BPS", f"is a Photoshop file {_OTHER_KIND}"),
    (b"BM", f"is a BMP {_OTHER_KIND}"),
    (b"\0\0\1\0", f"is an icon {_OTHER_KIND}"),
    (b"P7\n", f"is a PAM {_OTHER_KIND}"),
)
START_BYTES = 64  # of a file, by which it is known


def kind_of(start: bytes) -> str | None:
    """What a file is that begins so, as the end of a sentence about it; None where that is not known."""
    if not start:
        return "is empty"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, kind in _KINDS:
        if (start[4:] if magic.startswith(b"ftyp") else text).startswith(magic):  # that one stands behind a length
            return kind
    return None
