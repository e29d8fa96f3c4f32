"""Figures as data, then drawing: ``compute_x(...)`` gives arrays, ``draw_x(arrays)`` a matplotlib figure, and
``x_chart(arrays)`` the same to hover and zoom. `analysis.figures.registry` says how to add one."""

import os
import sys
from contextlib import suppress

if "matplotlib" not in sys.modules:
    # figures are files here: a backend for screens that this environment lacks, such as that of the notebook which
    # started it, must not keep them from being drawn
    _backend = os.environ.pop("MPLBACKEND", None)
    import matplotlib as mpl

    if _backend is not None:
        os.environ["MPLBACKEND"] = _backend
        with suppress(ValueError):
            mpl.rcParams["backend"] = _backend
