"""What is measured on a trained model: the yardstick on the test set, what its latents are good for, and how
near its reconstructions and samples come to images.

N images of C x H x W, Z latents.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from analysis.measures.importance_weighted import iwae
from analysis.measures.information import information, kl_each, standard_error
from analysis.measures.sample_quality import fid, inception_distance, sample_quality
from trainables.data.datasets import Dataset
from trainables.training.batches import Pixels
from trainables.training.evaluate import BATCH, evaluate
from trainables.training.process_group import World
from vae_models import VAE
from vae_models.vae import Posterior

PROBE_IMAGES = 10_000
"""Training images that the classifiers of codes learn from, at most."""
NEIGHBOURS = 5
"""k of ``knn_accuracy``."""
SILHOUETTE_IMAGES = 2_000
LIKELIHOOD_IMAGES = 100
LIKELIHOOD_SAMPLES = 50
"""Test images and K of ``log_likelihood``: decoding them is most of what measuring a large model costs."""
SSIM_SIDE = 6
"""Of the smallest image that its window of 11 pixels can be reflected into."""
RECONSTRUCTIONS = 2_000
"""Test images of ``psnr_db`` and ``ssim``, at most: windows of 11 pixels are a CPU's work."""
LARGEST_PSNR = 100.0
"""dB; of an image that is hit to the last bit, which would be infinite."""


class Codes(NamedTuple):
    """The posteriors q(z | x) of a set of images, in their order."""

    mean_NZ: np.ndarray
    """float32."""
    logvar_NZ: np.ndarray
    """float32."""


def posteriors(codes: Codes, rows: slice | np.ndarray = slice(None), device: torch.device | str = "cpu") -> Posterior:
    """All codes, or some rows of them, on a device."""
    return Posterior(*(torch.from_numpy(values[rows]).to(device) for values in codes))


@torch.no_grad()
def encode(model: VAE, images: np.ndarray) -> Codes:
    """(N, C, H, W) uint8 -> the posteriors' means and log-variances, on the CPU wherever the model is."""
    device = next(model.parameters()).device
    pixels = Pixels(images, device=device)
    parts = [model.encode(x) for _, x in pixels.in_order(BATCH, World(device=device))]
    return Codes(*(torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)))


def measure(
    model: VAE,
    data: Dataset,
    sigma: float,
    codes: Codes | None = None,
    seed: int = 0,
    inception: Path | None = None,
    progress: Callable[[str], object] = lambda what: None,
) -> dict[str, float]:
    """Everything about a model on its test set, computed where the model is.

    ``distortion rate nelbo bits_per_dim mse active_units`` are `trainables.training.evaluate`'s. ``mutual_information
    marginal_kl`` are the rate's two parts, each with its ``_error``, and ``mutual_information_cap`` the most
    that the first can be found to be (`analysis.measures.information`); ``kl_largest kl_median`` are the rate of
    single latents. ``log_likelihood`` is ``-nelbo`` and what an importance-weighted bound gains on it, with
    the gain's error and by what it was found (`likelihood`). All these in nats per image but for
    ``bits_per_dim``, ``mse`` and the counts.

    ``probe_accuracy knn_accuracy silhouette`` say how well the classes are told by posterior means,
    ``psnr_db ssim`` how near the decoded means are to the images. ``mmd sliced_wasserstein precision recall
    density coverage`` compare samples with images in pixel space (`sample_quality`), and ``fid`` does so by
    Inception features; it is there only where the weights of Inception are. What has no meaning, as an
    accuracy of one class, is NaN.

    Args:
        model: in evaluation mode.
        sigma: the run's own, fitted to its training residuals (``sigma`` of its row): nothing is fitted to
            the test set.
        codes: of the test images, where they are `encode`d already.
        seed: of every choice of images and every sample.
        inception: the weights for ``fid``, where they are not where torch-fidelity keeps them.
        progress: told what is measured next, `PARTS` times in all.

    Raises:
        UserError: where ``inception`` holds no such weights, or torch-fidelity is not installed.
        ValueError: for codes of another number of images.
    """
    frechet = inception_distance(inception)
    images = data.test.images
    device = next(model.parameters()).device
    codes = encode(model, images) if codes is None else codes
    if len(codes.mean_NZ) != len(images):
        raise ValueError(f"codes must be those of the {len(images)} test images, got {len(codes.mean_NZ)}")
    pixels, world = Pixels(images, device=device), World(device=device)
    metrics: dict[str, float] = {}
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "trade-off": lambda: evaluate(model, pixels, sigma, world, posteriors(codes)),
        "code": lambda: code_metrics(codes, seed, device),
        "classes": lambda: class_metrics(model, data, codes, seed),
        "likelihood": lambda: likelihood(model, images, codes, sigma, metrics["nelbo"], seed),
        "reconstructions": lambda: reconstruction_quality(model, images, codes, seed),
        "samples": lambda: (
            sample_quality(model, images, seed) | ({"fid": fid(model, images, frechet, seed)} if frechet else {})
        ),
    }
    for name, part in parts.items():
        progress(name)
        metrics |= part()
    return metrics


PARTS = 6
"""Steps of `measure`, which a test counts."""


def code_metrics(codes: Codes, seed: int = 0, device: torch.device | str = "cpu") -> dict[str, float]:
    """``mutual_information marginal_kl``, the errors and the cap of both, ``kl_largest kl_median``; nats per
    image."""
    kl_Z, parts = kl_per_latent(*codes), information(*codes, seed, device)
    return {
        "mutual_information": parts.mutual_information,
        "mutual_information_error": parts.mutual_information_error,
        "marginal_kl": parts.marginal_kl,
        "marginal_kl_error": parts.marginal_kl_error,
        "mutual_information_cap": parts.cap,
        "kl_largest": float(kl_Z.max()),
        "kl_median": float(np.median(kl_Z)),
    }


def kl_per_latent(mean_NZ: np.ndarray, logvar_NZ: np.ndarray) -> np.ndarray:
    """The rate of each latent, nats per image averaged over images, (Z,); they sum to the rate."""
    return kl_each(mean_NZ, logvar_NZ).mean(0)


def likelihood(
    model: VAE, images: np.ndarray, codes: Codes, sigma: float, nelbo: float, seed: int = 0
) -> dict[str, float]:
    """``log_likelihood``, nats per image: minus the ``nelbo`` of all images, plus what the bound of
    ``log_likelihood_samples`` samples (`iwae`) gains, in the mean over ``log_likelihood_images`` of them.

    The gain is over the ELBO of the same image by the same samples: images differ in it far less than in
    their likelihood. ``log_likelihood_error`` is its standard error, without the ``nelbo``'s own.
    ``effective_samples`` is the median over those images of the samples that carry the bound."""
    rows = some(len(images), LIKELIHOOD_IMAGES, seed)
    bound = iwae(model, images[rows], sigma, LIKELIHOOD_SAMPLES, seed, posteriors(codes, rows))
    gain = bound.log_likelihood - bound.elbo
    return {
        "log_likelihood": float(gain.mean()) - nelbo,
        "log_likelihood_error": standard_error(gain),
        "log_likelihood_images": len(rows),
        "log_likelihood_samples": LIKELIHOOD_SAMPLES,
        "effective_samples": float(np.median(bound.effective_samples)),
    }


@torch.no_grad()
def reconstruction_quality(model: VAE, images: np.ndarray, codes: Codes, seed: int = 0) -> dict[str, float]:
    """``psnr_db`` and ``ssim`` of what the decoder makes of the posterior means of at most 2,000 images, each
    the mean over images. The SSIM is Wang et al.'s (2004, "Image quality assessment", IEEE TIP 13) with a
    Gaussian window of 11 pixels, images reflected at their edges; below 6 pixels a side it is NaN."""
    # here, where it is needed: the import takes seconds
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    device = next(model.parameters()).device
    chosen = some(len(images), RECONSTRUCTIONS, seed)
    found = []
    for rows, x in Pixels(images, chosen, device).in_order(BATCH // 5, World(device=device)):
        image = model.decode(posteriors(codes, chosen[rows], device).mean)
        psnr = peak_signal_noise_ratio(image, x, data_range=1.0, reduction="none", dim=(1, 2, 3))
        ssim = torch.full_like(psnr, math.nan)
        if min(x.shape[2:]) >= SSIM_SIDE:
            each = structural_similarity_index_measure(image, x, data_range=1.0, reduction="none")
            ssim = cast(Tensor, each)
        found.append(torch.stack([psnr.clamp(max=LARGEST_PSNR), ssim]).double())
    psnr_db, similarity = torch.cat(found, 1).mean(1).tolist()
    return {"psnr_db": psnr_db, "ssim": similarity}


def class_metrics(model: VAE, data: Dataset, codes: Codes, seed: int = 0) -> dict[str, float]:
    """``probe_accuracy`` and ``knn_accuracy`` of classifiers that learn from the posterior means of at most
    10,000 training images, and the test codes' ``silhouette``."""
    trained = data.training_rows()
    rows = trained[some(len(trained), PROBE_IMAGES, seed)]
    learnt = encode(model, data.train.images[rows]).mean_NZ, data.train.labels[rows]
    asked = codes.mean_NZ, data.test.labels
    return {
        "probe_accuracy": probe_accuracy(*learnt, *asked),
        "knn_accuracy": knn_accuracy(*learnt, *asked),
        "silhouette": silhouette(*asked, seed),
    }


def some(count: int, most: int, seed: int) -> np.ndarray:
    """All rows of so many, or the seed's choice of ``most``, in order."""
    return np.sort(np.random.default_rng(seed).choice(count, min(count, most), replace=False))


def probe_accuracy(
    train_NZ: np.ndarray, train_labels: np.ndarray, test_MZ: np.ndarray, test_labels: np.ndarray
) -> float:
    """Test accuracy of a logistic regression on standardised posterior means (linear probe, Alain & Bengio
    2016, arXiv:1610.01644); NaN where there is one class to learn."""
    if len(np.unique(train_labels)) < 2:
        return math.nan
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe that is nearly there measures as well
        probe.fit(train_NZ, train_labels)
    return float(probe.score(test_MZ, test_labels))


def knn_accuracy(train_NZ: np.ndarray, train_labels: np.ndarray, test_MZ: np.ndarray, test_labels: np.ndarray) -> float:
    """Test accuracy of the majority of the 5 nearest training images, by Euclidean distance of posterior
    means; NaN where there is one class to learn, or there are fewer images than neighbours."""
    if len(np.unique(train_labels)) < 2 or len(train_labels) < NEIGHBOURS:
        return math.nan
    return float(KNeighborsClassifier(NEIGHBOURS).fit(train_NZ, train_labels).score(test_MZ, test_labels))


def silhouette(mean_NZ: np.ndarray, labels: np.ndarray, seed: int = 0) -> float:
    """The mean silhouette of the classes (Rousseeuw 1987) among posterior means of at most 2,000 images: from
    -1 to 1, 1 where classes are compact and far apart. NaN of one class, and where no two share one."""
    rows = some(len(labels), SILHOUETTE_IMAGES, seed)
    if not 2 <= len(np.unique(labels[rows])) < len(rows):
        return math.nan
    return float(silhouette_score(mean_NZ[rows], labels[rows]))
