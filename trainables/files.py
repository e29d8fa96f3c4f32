"""Files that no crash can tear, and that tell when something else did.

`write_atomic` shows a reader the old file or the new one, never a part; `seal` and `unseal` put a hash into
JSON, so that a flipped bit is found and not believed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SEAL = "content_sha256"
HASH_DIGITS = 16


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write to a temporary name beside ``path``, flush to disk, rename. Folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def seal(values: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON of ``values`` with the hash of its own text as the last key.

    Raises:
        ValueError: for NaN and infinity, which JSON does not have.
    """
    body = json.dumps(values, indent=indent, allow_nan=False)[:-1].rstrip()
    comma, space, end = (
        "," if values else "",
        "\n" + " " * indent if indent else " ",
        "\n}" if indent else "}",
    )
    return f'{body}{comma}{space}"{SEAL}": "{digest(body.encode())}"{end}'


def unseal(text: bytes | str) -> dict[str, Any]:
    """What was sealed. Raises: ValueError where the text is not what its hash says, or no JSON."""
    data = text.encode() if isinstance(text, str) else text
    body, key, rest = data.rpartition(f'"{SEAL}": "'.encode())
    if not key:
        raise ValueError(f"it has no {SEAL}")
    if rest[:HASH_DIGITS] != digest(body.rstrip().removesuffix(b",")).encode():
        raise ValueError(f"its content is not what its {SEAL} says")
    values = json.loads(data)
    if not isinstance(values, dict) or values.pop(SEAL, None) is None:
        raise ValueError(f"it has no {SEAL} of its own")
    return values


def digest(content: bytes) -> str:
    """The first `HASH_DIGITS` hexadecimal digits of the content's SHA-256."""
    return hashlib.sha256(content).hexdigest()[:HASH_DIGITS]
