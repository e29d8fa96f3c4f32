"""Pictures within a page, as data URIs in WebP."""

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

_LOSSLESS_BYTES = 150_000  # of a picture; a larger one is better seen than its pixels counted


def embedded(paths: Sequence[Path], room: int) -> dict[Path, str]:
    """The data of those pictures that find ``room`` (bytes), as URIs."""
    found: dict[Path, str] = {}
    with ThreadPoolExecutor() as pool:  # the encoder lets other threads work
        for path, uri in zip(paths, pool.map(_data_uri, paths), strict=True):
            if len(uri) <= room:
                found[path] = uri
                room -= len(uri)
    return found


def _data_uri(path: Path) -> str:
    """A picture in WebP: the same pixels in a third of the bytes, or near ones in fewer; a GIF keeps moving."""
    with Image.open(path) as image:
        if path.suffix == ".gif":
            return _uri(_webp(image, quality=70, save_all=True, minimize_size=True))
        return still_uri(image.convert("RGB"))


def still_uri(image: Image.Image, most: int = _LOSSLESS_BYTES, qualities: Sequence[int] = (80,)) -> str:
    """An RGB picture in WebP: the same pixels where they are at most so many bytes; else near ones of the first of the
    ``qualities`` that is, or of the last."""
    content = _webp(image, lossless=True)
    for quality in qualities:
        if len(content) <= most:
            break
        content = min(content, _webp(image, quality=quality), key=len)
    return _uri(content)


def _uri(content: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def _webp(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="webp", method=2, **options)
    return buffer.getvalue()
