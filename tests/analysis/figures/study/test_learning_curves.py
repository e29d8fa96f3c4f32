"""Learning curves of all trials."""

from __future__ import annotations

from analysis.figures.study._judged import Judged
from analysis.figures.study.learning_curves import compute_learning_curves, learning_curves_chart
from analysis.reading.frames import load_epochs, load_trials
from analysis.reading.study_record import StudyRecord


def test_the_chart_of_curves_has_every_epoch_once(sixty: StudyRecord) -> None:
    epochs = load_epochs(sixty)
    curves = compute_learning_curves(epochs, load_trials(sixty), Judged("val_bits_per_dim"))
    chart = learning_curves_chart(curves)
    traces = {trace.name: trace for trace in chart.data}
    assert list(traces) == ["complete", "pruned", f"best: trial {curves.numbers[curves.marked].item()}"]
    shown = [value for name in ("complete", "pruned") for value in traces[name].y if value is not None]
    assert sorted(shown) == sorted(epochs["val_bits_per_dim"])
    pruned = epochs[epochs["state"] == "PRUNED"]
    first = pruned[pruned["number"] == pruned["number"].min()]
    assert list(traces["pruned"].y[: len(first)]) == first["val_bits_per_dim"].tolist()
    assert traces["pruned"].y[len(first)] is None
    beta, size = first["beta"].iloc[0], first["latent_dim"].iloc[0]
    told = f"epoch 1: {first['val_bits_per_dim'].iloc[0]:.4f} bits/dim"
    assert traces["pruned"].text[0] == f"trial 3 (pruned)<br>β {beta:.3g}, latent size {size}<br>{told}"
    assert len(traces["pruned"].text) == len(traces["pruned"].y) == len(traces["pruned"].marker.color)
