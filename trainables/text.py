"""Text from elsewhere, before a person sees it."""

import re

# what a URL's query may hold that nobody is to see
SECRETS = ("password", "passwd", "pwd", "sslpassword", "access_key", "secret_key", "session_token")


def printable(text: str) -> str:
    """``text`` without control characters, which a terminal might obey, and with its lines."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def legible(text: str) -> str:
    """``text`` that any file can hold: what is no letter, as in a file's name that is not UTF-8, is escaped."""
    return text.encode(errors="backslashreplace").decode()


def without_passwords(text: str) -> str:
    """``text`` with the passwords of its URLs masked."""
    masked = re.sub(r"(://[^:/@\s]*):\S*@", r"\1:***@", text)
    return re.sub(rf"([?&](?:{'|'.join(SECRETS)})=)[^&\s]*", r"\1***", masked)
