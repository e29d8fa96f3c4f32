"""The exceptions that command lines show without a traceback."""


class UserError(Exception):
    """A mistake the person at the keyboard can mend.

    Its text is one or two lines that name the thing, the rule and the value.
    """


class Early(Exception):
    """A study is to end before its plan is done, in order and through no fault: what is open is closed."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after which what was under way has come to its end."""
