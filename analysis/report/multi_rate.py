"""What a study of multi-rate networks says: the best one at each of its KL weights."""

import numpy as np
import pandas as pd

from analysis.figures.study.latents_by_beta import LatentsByBeta
from analysis.figures.study.rate_curve import RateCurves
from analysis.figures.style import BETA_LABEL
from analysis.measures.sweep import WEIGHTS
from analysis.report.mattered import listed

OVER_LINEAR = "D + βR over a linear model's"


def rates_table(curves: RateCurves) -> pd.DataFrame:
    """A row a KL weight of the best network, by its rate, on the validation images: nats per image, the mean squared
    error of pixels in [0, 1], and D + beta R (D without its constant) over the lowest of a linear model of the training
    images, where those are at hand. No row without a complete trial."""
    if not curves.label:
        return pd.DataFrame()
    others = {name: values[0] for name, values in curves.others.items()}
    columns = {
        BETA_LABEL: curves.beta,
        "rate (nats)": curves.rate[0],
        "distortion (nats)": curves.distortion[0],
        "MSE": others["val_mse"],
        "bits/dim": others["val_bits_per_dim"],
        "sigma": others["sigma"],
        "active units": others["val_active_units"].astype(int),
    }
    if curves.optimum is not None:
        columns[OVER_LINEAR] = curves.loss[0] / curves.optimum
    return pd.DataFrame(columns).iloc[::-1]


def held_out_rates(curves: RateCurves, found: LatentsByBeta) -> pd.DataFrame:
    """Whether the best network's curve holds on the test images: a row a KL weight that was measured in training, by
    its rate, nats per image. No row where the test images or its weights cannot be had."""
    if found.note:
        return pd.DataFrame()
    at = slice(None, None, (WEIGHTS - 1) // (len(curves.beta) - 1))
    columns = {
        BETA_LABEL: curves.beta,
        "rate (nats), validation": curves.rate[0],
        "rate (nats), test": found.sweep.rate[at],
        "distortion (nats), validation": curves.distortion[0],
        "distortion (nats), test": found.sweep.distortion[at],
    }
    return pd.DataFrame(columns).iloc[::-1]


def curve_sentence(curves: RateCurves) -> str:
    """What the best network trades from one end of its KL weights to the other, and where it beats a linear model."""
    rate, mse = curves.rate[0], curves.others["val_mse"][0]
    low, high = f"{curves.beta[0]:g}", f"{curves.beta[-1]:g}"
    said = (
        f"From a KL weight of {high} down to {low} the code of {curves.label[0]} goes from {rate[-1]:.1f} to "
        f"{rate[0]:.1f} nats an image, and the squared error of a pixel from {mse[-1]:.4f} to {mse[0]:.4f}"
    )
    if curves.optimum is None:
        return f"{said}."
    better = curves.loss[0] < curves.optimum
    if better.all():
        return f"{said}; it is better than any linear model (PCA) at each of its {len(better)} measured weights."
    if not better.any():
        return f"{said}; a linear model (PCA) could be better at each of its {len(better)} measured weights."
    spans = listed(_spans(curves.beta, better))
    return f"{said}; it is better than any linear model (PCA) at {better.sum()} of {len(better)} weights, {spans}."


def _spans(beta: np.ndarray, chosen: np.ndarray) -> list[str]:
    """The chosen of the measured KL weights, (M,) and (M,) bool, those that adjoin as one: "0.1 to 1", "4"."""
    places = np.flatnonzero(chosen)
    parts = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    return [" to ".join(f"{beta[k]:.3g}" for k in dict.fromkeys(part[[0, -1]].tolist())) for part in parts]
