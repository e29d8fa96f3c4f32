"""What a yardstick measures of a complete training, by the weights of its best epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.measures.codes import chosen_rows
from analysis.measures.importance_weighted import Bound, iwae
from analysis.measures.linear import linear_model
from analysis.reading.best_runs import Run
from studies.yardstick.declaration import Measure
from trainables.data.datasets import dataset_of
from trainables.training.evaluate import evaluate
from trainables.training.process_group import World, first_device
from trainables.training.trial import load_pixels
from vae_models.elbo import bits_per_dim

_AT_ONCE = 100  # images between two looks at the clock


@dataclass(frozen=True)
class Subject:
    """What is measured, and how."""

    run: Run
    data_dir: Path | None
    samples: int
    images: int | None
    check: Callable[[], None]  # raises where it is to end before
    progress: Callable[[float], object]  # is told the share that is done


def _bounds_in_nats(subject: Subject) -> dict[str, float]:
    """``nelbo`` and ``nll`` of the test images, nats per image: minus the ELBO, and minus the importance-weighted bound
    on log p(x) (`analysis.measures.importance_weighted.iwae`), by the same samples; ``nll_error`` is the standard error
    of the latter over images, ``nll_images`` their number, and ``effective_samples`` the median of how many carry it.
    """
    run, device = subject.run, first_device()
    images = dataset_of(run.config, subject.data_dir).test.images
    if subject.images:
        images = images[chosen_rows(len(images), subject.images, 0)]
    model, parts = run.load().to(device), list[Bound]()
    for start in range(0, len(images), _AT_ONCE):
        subject.check()
        subject.progress(start / len(images))
        some = images[start : start + _AT_ONCE]
        parts.append(iwae(model, some, run.best["sigma"], subject.samples, seed=start))
    bound = Bound(*map(np.concatenate, zip(*parts, strict=True)))
    return {
        "nelbo": -float(bound.elbo.mean()),
        "nll": -bound.mean,
        "nll_error": bound.standard_error,
        "nll_images": len(images),
        "effective_samples": float(np.median(bound.effective_samples)),
    }


def _bounds_in_bits(subject: Subject) -> dict[str, float]:
    """The same in bits per dimension."""
    dimensions = subject.run.config.model.dimensions
    nats = _bounds_in_nats(subject)
    return nats | {name: bits_per_dim(nats[name], dimensions) for name in ("nelbo", "nll", "nll_error")}


def _over_water_filling(subject: Subject) -> dict[str, float]:
    """``excess``: D + beta R of a linear model over the lowest that any could reach (D without its constant), as a
    share of that, on the very images that it was trained on."""
    run, device = subject.run, first_device()
    config = run.config
    train, _ = load_pixels(config, subject.data_dir, device)
    found = evaluate(run.load().to(device), train, run.best["sigma"], World(device=device))
    constant = config.model.distortion_constant
    loss = found["distortion"] - constant + config.beta * found["rate"]
    data = dataset_of(config, subject.data_dir).limited(config.limit_train)
    best = linear_model(data, config.model, config.model.latent_dim).loss(np.array([config.beta]))
    optimum = float(best[0]) - constant
    return {"beta": config.beta, "loss": loss, "optimum": optimum, "excess": loss / optimum - 1}


MEASURES: dict[Measure, Callable[[Subject], dict[str, float]]] = {
    "nats": _bounds_in_nats,
    "bits": _bounds_in_bits,
    "water_filling": _over_water_filling,
}
"""By the name that a declaration has for each."""
