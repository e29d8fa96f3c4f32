"""Which images a training sees: parts held out, and limits."""

import numpy as np
from numpy.typing import ArrayLike

from trainables.errors import UserError


def holdout(labels: ArrayLike, fraction: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sorted (train, validation) indices of labels (N,), `fraction` of them for validation; none is empty. Stratified
    by label, unless a class has a single image or a side fewer images than there are classes. Raises: UserError for
    fewer than two labels and for a fraction outside (0, 1)."""
    labels = np.asarray(labels)
    if not 0 < fraction < 1:
        raise UserError(f"the fraction held out must be above 0 and below 1, got {fraction}")
    if len(labels) < 2:
        raise UserError(f"at least 2 images are needed to hold some out, got {len(labels)}")
    validation_count = min(max(1, round(fraction * len(labels))), len(labels) - 1)
    train_count = len(labels) - validation_count
    class_counts = np.unique(labels, return_counts=True)[1]
    stratify = labels if class_counts.min() > 1 and min(validation_count, train_count) >= len(class_counts) else None
    from sklearn.model_selection import train_test_split  # takes a second to import, and only this needs it

    rows = np.arange(len(labels))
    train, validation = train_test_split(rows, test_size=validation_count, random_state=seed, stratify=stratify)
    return np.sort(train), np.sort(validation)


def limit(indices: ArrayLike, count: int | None, seed: int = 0) -> np.ndarray:
    """A fixed random subset of at most `count` of the indices, sorted; None for all of them. With the same seed, a
    smaller subset is part of a larger one. Raises: UserError for a count below 1."""
    if count is not None and count < 1:
        raise UserError(f"a limit on the number of images must be at least 1, got {count}")
    return np.sort(np.random.default_rng(seed).permutation(np.asarray(indices))[:count])
