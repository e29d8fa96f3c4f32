"""Figures as data, then drawing: ``compute_x(...)`` gives arrays, ``draw_x(arrays)`` a matplotlib figure, and
``x_chart(arrays)`` the same to hover and zoom. `analysis.figures.registry` says how to add one."""

import os
import sys
import warnings
from contextlib import chdir, nullcontext, suppress

if "matplotlib" not in sys.modules:
    # figures are files here, with a style of their own: neither a backend for screens that this environment lacks, such
    # as that of the notebook which started it, nor a matplotlibrc that cannot be read must keep them from being drawn
    _own = {name: os.environ.pop(name) for name in ("MPLBACKEND", "MATPLOTLIBRC") if name in os.environ}
    os.environ["MATPLOTLIBRC"] = os.devnull
    with chdir("/") if os.access("matplotlibrc", os.F_OK) else nullcontext():  # which goes before the variable's
        import matplotlib as mpl

    del os.environ["MATPLOTLIBRC"]
    os.environ.update(_own)
    with suppress(OSError, UnicodeError), warnings.catch_warnings(action="ignore"):
        mpl.rcParams.update(mpl.rc_params())
    if "MPLBACKEND" in _own:
        with suppress(ValueError):
            mpl.rcParams["backend"] = _own["MPLBACKEND"]
