"""One multi-rate network at many KL weights. K weights, Z latents."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.measures.codes import device_of, encode, latent_rates, posteriors
from trainables.training.batches import Pixels
from trainables.training.evaluate import evaluate
from trainables.training.process_group import World
from vae_models import VAE

WEIGHTS = 17
"""KL weights of a sweep: those at which an epoch is measured (`trainables.metrics.RATES`), and one between each two."""


@dataclass(frozen=True)
class Sweep:
    """What a network makes of some images at each KL weight, each (K,) but the last; nats per image."""

    beta: np.ndarray  # rising
    rate: np.ndarray
    distortion: np.ndarray  # under the training likelihood
    active_units: np.ndarray
    latent_rates: np.ndarray  # (K, Z): each latent's share of the rate


def sweep_weights(model: VAE, count: int = WEIGHTS) -> np.ndarray:
    """(count,) KL weights that divide the range of a multi-rate network evenly in their logarithms."""
    return np.geomspace(*model.config.beta_range, count)


def views(model: VAE, count: int = WEIGHTS) -> Iterator[tuple[float, VAE]]:
    """So many KL weights of a sweep, each with the plain network that a multi-rate one is there (`VAE.at`)."""
    for beta in sweep_weights(model, count).tolist():
        yield beta, model.at(beta)


def sweep(model: VAE, images: np.ndarray) -> Sweep:
    """Of a multi-rate network on any device and (N, C, H, W) uint8 images, each with the noise that
    `trainables.training.evaluate.evaluate` has for it."""
    device = device_of(model)
    measured, shares = [], []
    for beta, view in views(model):
        codes = encode(view, images)
        # its bits per dimension are not used, nor is the width that they are counted with
        found = evaluate(view, Pixels(images, device=device), 1.0, World(device=device), posteriors(codes))
        measured.append([beta, found["rate"], found["distortion"], found["active_units"]])
        shares.append(latent_rates(*codes))
    beta, rate, distortion, active_units = np.array(measured).T
    return Sweep(beta, rate, distortion, active_units, np.array(shares))
