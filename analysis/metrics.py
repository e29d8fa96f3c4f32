"""What is measured on a trained model: the yardstick on the test set, and what its latents are good for.

N images of C x H x W, Z latents.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from analysis.information import information
from trainables.batches import Pixels
from trainables.data import Dataset
from trainables.evaluate import BATCH, evaluate
from trainables.world import World
from vae_models import VAE

PROBE_IMAGES = 10_000


def measure(model: VAE, data: Dataset, sigma: float, seed: int = 0) -> dict[str, float]:
    """`trainables.evaluate` on the test set, ``probe_accuracy``, the two parts of the rate
    ``mutual_information`` and ``marginal_kl`` (`analysis.information`), and the rate of single latents,
    ``kl_largest`` and ``kl_median``; nats per image.

    ``sigma`` is the run's own, fitted to its training residuals (``sigma`` of its row): nothing is fitted
    to the test set.
    """
    metrics = evaluate(model, Pixels(data.test.images), sigma, World())
    mean_NZ, logvar_NZ = encode(model, data.test.images)
    kl_Z, parts = kl_per_latent(mean_NZ, logvar_NZ), information(mean_NZ, logvar_NZ, seed)
    return metrics | {
        "probe_accuracy": probe_accuracy(model, data, seed),
        "mutual_information": parts.mutual_information,
        "marginal_kl": parts.marginal_kl,
        "kl_largest": float(kl_Z.max()),
        "kl_median": float(np.median(kl_Z)),
    }


@torch.no_grad()
def encode(model: VAE, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, C, H, W) uint8 -> means and log-variances of q(z | x), both (N, Z) float32."""
    posteriors = [model.encode(x) for _, x in Pixels(images).in_order(BATCH, World())]
    mean_NZ = torch.cat([posterior.mean for posterior in posteriors])
    return mean_NZ.numpy(), torch.cat([posterior.logvar for posterior in posteriors]).numpy()


def kl_per_latent(mean_NZ: np.ndarray, logvar_NZ: np.ndarray) -> np.ndarray:
    """The rate of each latent, nats per image averaged over images, (Z,); they sum to the rate."""
    mean, logvar = mean_NZ.astype(np.float64), logvar_NZ.astype(np.float64)
    return 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar).mean(0)


def probe_accuracy(model: VAE, data: Dataset, seed: int = 0) -> float:
    """Test accuracy of a logistic regression on standardised posterior means, fitted on at most 10,000
    training images (linear probe, Alain & Bengio 2016, arXiv:1610.01644); NaN where there is one class."""
    rows = np.arange(len(data.train.labels))
    if len(rows) > PROBE_IMAGES:
        rows = np.sort(np.random.default_rng(seed).choice(rows, PROBE_IMAGES, replace=False))
    labels = data.train.labels[rows]
    if len(np.unique(labels)) < 2:
        return float("nan")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe that is nearly there measures as well
        probe.fit(encode(model, data.train.images[rows])[0], labels)
    return float(probe.score(encode(model, data.test.images)[0], data.test.labels))
