"""Text from elsewhere, before a person sees it."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    """``text`` without control characters, which a terminal might obey, and with its lines."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def without_passwords(text: str) -> str:
    """``text`` with the passwords of its URLs masked."""
    return re.sub(r"(://[^:/@\s]*):\S*@", r"\1:***@", text)
