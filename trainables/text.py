"""Text from elsewhere, before a person sees it."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from unicodedata import category

# what a URL's query may hold that nobody is to see
SECRETS = ("password", "passwd", "pwd", "sslpassword", "access_key", "secret_key", "session_token")


def printable(text: str) -> str:
    """``text`` without control characters, which a terminal might obey, and with its lines; the blanks and joiners of
    other scripts stay."""
    return "".join(c if c.isprintable() or c in "\n\u200c\u200d" or category(c) == "Zs" else "?" for c in text)


def one_line(path: str | Path) -> str:
    """A path of which neither a terminal nor a reader takes a part for something else."""
    return printable(str(path)).replace("\n", "?")


def legible(text: str) -> str:
    """``text`` that any file can hold: what is no letter, as in a file's name that is not UTF-8, is escaped."""
    try:
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:  # half a letter of another encoding
        return text.encode(errors="backslashreplace").decode()


def without_passwords(text: str) -> str:
    """``text`` with the passwords of its URLs masked."""
    masked = re.sub(r"(://[^:/@\s]*):\S*@", r"\1:***@", text)
    return re.sub(rf"([?&](?:{'|'.join(SECRETS)})=)[^&\s]*", r"\1***", masked)


def examples(texts: Sequence[str], most: int = 3) -> str:
    """The first of some texts, in a row."""
    return ", ".join([*texts[:most], *(["..."] if len(texts) > most else [])])


def as_typed(*words: str | Path) -> str:
    """Words as a command line that a shell reads back as they are: with blanks and quotes, line ends and other control
    characters, bytes that are no text, and paths that begin as an option does."""
    return " ".join(map(_quoted, words))


def python_command(*words: str | Path) -> str:
    """A command of this Python as a shell here finds it: by its name, or by its path where that is another or none."""
    this = Path(sys.executable)
    names = (
        name for name in ("python", this.name) if (found := shutil.which(name)) and Path(found).parent == this.parent
    )
    return as_typed(next(names, this), *words)


def _quoted(word: str | Path) -> str:
    text = f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
    if text.isprintable():
        return shlex.quote(text)
    plain = (c if c.isprintable() and c not in "\\'" else "".join(f"\\x{b:02x}" for b in os.fsencode(c)) for c in text)
    return f"$'{''.join(plain)}'"


def spoken(seconds: float) -> str:
    """For a person: "0.8 s", "12 min", "3.4 h", "2.1 days"."""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.{0 if seconds >= 20 * size or unit == 'min' else 1}f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
