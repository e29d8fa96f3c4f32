"""Figures as data, then drawing: ``compute_x(...)`` gives arrays, ``draw_x(arrays)`` a matplotlib figure, and
``x_chart(arrays)`` the same to hover and zoom. `analysis.figures.registry` says how to add one."""
