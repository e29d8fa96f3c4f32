"""A terminal of its own for a command, and what a person sees there."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from codecs import getincrementaldecoder
from pathlib import Path

# makes the terminal on its standard input its own, so that ^C there comes as a signal, and becomes a command
_OWN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


class Terminal:
    """A command of Python that runs in a terminal."""

    def __init__(self, *arguments: str | Path, cwd: Path, width: int = 80, height: int = 40) -> None:
        self.width, self.output, self._decoder = width, "", getincrementaldecoder("utf-8")()
        self._master, self._slave = os.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        unset = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
        env = {name: value for name, value in os.environ.items() if name not in unset} | {"TERM": "xterm"}
        command = [sys.executable, "-c", _OWN, sys.executable, *map(str, arguments)]
        ends = {"stdin": self._slave, "stdout": self._slave, "stderr": self._slave}
        self.process = subprocess.Popen(command, cwd=cwd, env=env, start_new_session=True, **ends)  # type: ignore[call-overload]

    def read(self, seconds: float = 0.1) -> None:
        """Take what it writes meanwhile."""
        if select.select([self._master], [], [], seconds)[0]:
            self.output += self._decoder.decode(os.read(self._master, 1 << 16))

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Until it is on the screen. Raises: AssertionError where it does not come."""
        end = time.monotonic() + seconds
        while text not in "\n".join(self.screen()):
            self.read()
            assert time.monotonic() < end, self.output
            assert self.process.poll() is None, self.output

    def press(self, key: bytes) -> None:
        os.write(self._master, key)

    def end(self, seconds: float = 120) -> int:
        """Its exit code, once all that it wrote is read."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            self.read()
            assert time.monotonic() < end, self.output
        while select.select([self._master], [], [], 0.5)[0]:
            self.read()
        return int(self.process.returncode)

    @property
    def echoes(self) -> bool:
        """Whether it shows what is typed."""
        return bool(termios.tcgetattr(self._slave)[3] & termios.ECHO)

    @property
    def has_cursor(self) -> bool:
        return self.output.rfind("\x1b[?25h") >= self.output.rfind("\x1b[?25l")

    def screen(self) -> list[str]:
        """Its lines, without the empty ones at the end."""
        return screen(self.output, self.width)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)


def screen(output: str, width: int) -> list[str]:
    """What a terminal shows that never scrolls: text, line feeds, carriage returns, lines that are erased, and a cursor
    that goes up."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|[^\x1b]|\x1b", output):
        if found := re.fullmatch(r"\x1b\[(\d*)A", token):
            row = max(0, row - int(found[1] or 1))
        elif token == "\x1b[2K":
            lines[row] = ""
        elif token == "\n":
            row += 1
        elif token == "\r":
            column = 0
        elif token.isprintable():
            if column == width:
                row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
            line = lines[row].ljust(column)
            lines[row] = line[:column] + token + line[column + 1 :]
            column += 1
        lines += [""] * (row + 1 - len(lines))
    shown = [line.rstrip() for line in lines]
    while shown and not shown[-1]:
        shown.pop()
    return shown
