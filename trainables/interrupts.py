"""Ctrl-C in the first seconds of a program, in which libraries are imported. Imported first, and by programs alone: who
imports a study into a notebook keeps the notebook's Ctrl-C. It imports next to nothing itself, as that is not covered.
"""

import os
import signal

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What ends a command as Ctrl-C does: what systemd, Docker and Slurm send (as `--signal` asks it to), and a
terminal that is gone."""


def end_at_once() -> None:
    """From now on a Ctrl-C ends this process with a line, whatever it is at: nothing is begun yet. As an exception it
    would be shown with a library's lines, or be taken by the library for one that it can do without."""
    _exchange(signal.default_int_handler, signal.SIG_DFL, new=_end)


def raise_interrupts() -> None:
    """From now on it is a KeyboardInterrupt, of which what was begun learns."""
    _exchange(_end, signal.SIG_DFL, new=signal.default_int_handler)


def hear_no_more() -> None:
    """From now on they change nothing: what was begun is being ended."""
    for number in (signal.SIGINT, *ENDING):
        signal.signal(number, signal.SIG_IGN)


def _exchange(*old: object, new: "signal._HANDLER") -> None:
    for number in (signal.SIGINT, *ENDING):  # those that are ignored stay so, as a hang-up under nohup
        if signal.getsignal(number) in old:
            signal.signal(number, new)


def _end(_number: int, _frame: object) -> None:
    try:  # noqa: SIM105 (one import less)
        os.write(2, b"interrupted: nothing was begun\n")
    except OSError:  # nobody listens
        pass
    os._exit(128 + signal.SIGINT)  # `trainables.errors.ExitCode.INTERRUPTED`
