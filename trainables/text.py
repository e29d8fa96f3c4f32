"""Text from elsewhere, before a person sees it."""

import re
from collections.abc import Sequence

# what a URL's query may hold that nobody is to see
SECRETS = ("password", "passwd", "pwd", "sslpassword", "access_key", "secret_key", "session_token")


def printable(text: str) -> str:
    """``text`` without control characters, which a terminal might obey, and with its lines."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def without_passwords(text: str) -> str:
    """``text`` with the passwords of its URLs masked."""
    masked = re.sub(r"(://[^:/@\s]*):\S*@", r"\1:***@", text)
    return re.sub(rf"([?&](?:{'|'.join(SECRETS)})=)[^&\s]*", r"\1***", masked)


def as_text(name: str) -> str:
    """A file's name, in which bytes that are no UTF-8 are written out."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def examples(texts: Sequence[str], most: int = 3) -> str:
    """The first of some texts, in a row."""
    return ", ".join([*texts[:most], *(["..."] if len(texts) > most else [])])
