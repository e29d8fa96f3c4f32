"""How the images of a data set vary: the eigenvalues of their covariance."""

import numpy as np

from trainables.errors import UserError

EXACT = 4096  # numbers in an image up to which the covariance is made, in float32 at most 64 MiB
_CHUNK = 2**23  # numbers of images that are float32 at once
SAMPLE = 2**26  # numbers of the images that stand for all where the covariance would be too large
DECODER_SCALE = (2 / 255) ** 2
"""From squared grey levels to those of the decoder's mean, whose pixels are in [-1, 1]."""
IMAGES_A_LATENT = 10  # of such a sample, below which its components would fit its images and no others


def covariance_eigenvalues(images: np.ndarray, rows: np.ndarray, latent_dim: int) -> np.ndarray:
    """The eigenvalues of the covariance (divided by N) of images: (D,) float64 descending, squared grey levels.

    Of images up to 4,096 numbers exact. Of larger ones the ``latent_dim`` largest by a randomised decomposition (Halko
    et al. 2011, SIAM Review 53(2)) of evenly spaced images, as many as hold 67 million numbers together, which finds
    them slightly too small; the others as their mean, as the water-filling only sums them. Memory: 0.3 GiB, or 1 GiB of
    larger ones.

    Args:
        images: (all, C, H, W) uint8, which may be a memory map.
        rows: (N,) of the images that count, one at least.

    Raises: UserError where less than 10 images a latent would be left of larger ones.
    """
    size = int(np.prod(images.shape[1:]))
    if size <= EXACT:
        found = np.linalg.eigvalsh(_covariance(images, rows))[::-1]
        return found.clip(0).astype(float)  # a solver leaves zeros slightly below 0
    kept = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE // size)).astype(int))]
    if len(kept) < IMAGES_A_LATENT * latent_dim:
        rule = f"{latent_dim} latents need {IMAGES_A_LATENT * latent_dim} images of {size:,} numbers"
        raise UserError(f"{rule}, and memory for them, got {len(kept)}")
    flat = images[kept].reshape(len(kept), -1).astype(np.float32)
    flat -= flat.mean(0)
    total, largest = float(np.linalg.norm(flat)) ** 2 / len(kept), np.empty(0)
    if latent_dim:
        from sklearn.utils.extmath import randomized_svd  # a second, for large images alone

        largest = randomized_svd(flat, latent_dim, n_iter=4, random_state=0)[1].astype(float) ** 2 / len(kept)
    others = size - latent_dim
    return np.concatenate([largest, np.full(others, (total - largest.sum()) / max(1, others))])


def _covariance(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(D, D) float32, from a few images at a time."""
    size = int(np.prod(images.shape[1:]))
    parts = np.array_split(rows, -(-len(rows) * size // _CHUNK))
    mean = sum(images[part].reshape(len(part), size).sum(0, dtype=np.int64) for part in parts) / len(rows)
    covariance = np.zeros((size, size), np.float32)
    for part in parts:
        centred = images[part].reshape(len(part), size) - mean.astype(np.float32)
        covariance += centred.T @ centred
    return covariance / np.float32(len(rows))
