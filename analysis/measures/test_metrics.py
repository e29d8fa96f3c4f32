"""Everything that is measured on a trained model, on its test set: measured, and in tables."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from analysis.measures.class_separation import CLASSES
from analysis.measures.codes import TRADE_OFF, Codes, Metric, Part, Subject, encode
from analysis.measures.importance_weighted import LIKELIHOOD
from analysis.measures.information import CODES
from analysis.measures.reconstruction import RECONSTRUCTIONS
from analysis.measures.sample_quality import SAMPLES, inception_distance
from trainables.data.datasets import Dataset
from vae_models import VAE

_EVALUATED = Part(
    "trade-off",
    TRADE_OFF,
    (
        Metric("bits_per_dim", "bits per dimension", ".4f"),
        Metric("nelbo", "negative ELBO, calibrated", ".2f", "nats per image"),
        Metric("rate", "rate", ".2f", "nats per image"),
        Metric("distortion", "distortion, training likelihood", ".2f", "nats per image"),
    ),
    lambda subject: subject.evaluated,
)

PARTS = (_EVALUATED, LIKELIHOOD, CODES, CLASSES, RECONSTRUCTIONS, SAMPLES)
"""In the order in which they are measured and shown."""


def measure(
    model: VAE,
    data: Dataset,
    sigma: float,
    codes: Codes | None = None,
    seed: int = 0,
    inception: Path | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> dict[str, float]:
    """Every metric of `PARTS` by name, computed where the model is, and their errors. What has no meaning, as
    an accuracy of one class, is NaN; ``fid`` is there only where the weights of Inception are.

    Args:
        model: in evaluation mode.
        data: whose test set it is measured on; the classifiers of codes learn from its training set.
        sigma: the run's own (``sigma`` of its row): nothing is fitted to the test set.
        codes: of the test images, where they are encoded already.
        seed: of every choice of images and every sample.
        inception: the weights for ``fid``, where they are not where torch-fidelity keeps them.
        progress: called with the name of each part before it is measured.

    Raises: UserError where ``inception`` holds no such weights, or torch-fidelity is not installed; ValueError for
    codes of another number of images."""
    frechet = inception_distance(inception)
    codes = encode(model, data.test.images) if codes is None else codes
    if len(codes.mean_NZ) != len(data.test.images):
        raise ValueError(f"codes must be those of the {len(data.test.images)} test images, got {len(codes.mean_NZ)}")
    subject = Subject(model, data, sigma, codes, seed, frechet)
    measured: dict[str, float] = {}
    for part in PARTS:
        progress(part.name)
        measured |= part.measure(subject)
    return measured


def tables(measured: Mapping[str, float]) -> dict[str, list[tuple[str, str, str]]]:
    """(label, value, unit) of what was `measure`d and is known, by title."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for part in PARTS:
        for metric in part.metrics:
            if math.isfinite(measured.get(metric.name, math.nan)):
                row = metric.label.format_map(measured), _value(metric, measured), metric.unit.format_map(measured)
                found.setdefault(part.title, []).append(row)
    return found


def _value(metric: Metric, measured: Mapping[str, float]) -> str:
    """With the sign of the bound that it is, or with its standard error."""
    text = format(measured[metric.name], metric.style)
    if metric.is_bound(measured):
        return f"{metric.bound} {text}"
    error = measured.get(f"{metric.name}_error", math.nan)
    # an error of exactly 0 is that of no estimate
    return f"{text} ± {format(error, metric.style)}" if math.isfinite(error) and error else text
