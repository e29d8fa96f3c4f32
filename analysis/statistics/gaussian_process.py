"""A Gaussian process through the trials: what bits per dimension are expected at parameters, and how surely. N trials
of P parameters, M points to predict at."""

import warnings

import numpy as np

_FITTED = 300  # trials that a fit sees at most, as its cost grows with their cube


def gaussian_process(
    points: np.ndarray, values: np.ndarray, at: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(N, P), (N,), (M, P) -> the mean of the values at each point and its standard deviation, both (M,).

    A Matérn 5/2 kernel and noise, their scales by marginal likelihood (Rasmussen & Williams 2006, sections
    4.2 and 5.4). The deviation is of the mean alone, without the noise. Of more trials a random `_FITTED` are
    fitted. Parameters that differ by orders of magnitude come as their logarithms."""
    from sklearn.exceptions import ConvergenceWarning  # a second of imports: here, where they are needed
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel

    if len(values) > _FITTED:
        chosen = np.random.default_rng(seed).choice(len(values), _FITTED, replace=False)
        points, values = points[chosen], values[chosen]
    centre, spread = float(values.mean()), float(values.std())
    if not spread > 0:
        return np.full(len(at), centre), np.zeros(len(at))
    low, width = points.min(0), np.where(np.ptp(points, 0) > 0, np.ptp(points, 0), 1)
    kernel = 1.0 * Matern(np.full(points.shape[1], 0.5), (0.25, 10.0), nu=2.5) + WhiteKernel(0.1, (1e-4, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a scale at its bound is an answer
        model = GaussianProcessRegressor(kernel).fit((points - low) / width, (values - centre) / spread)
    mean, deviation = model.predict((at - low) / width, return_std=True)
    noise = model.kernel_.k2.noise_level
    return mean * spread + centre, np.sqrt(np.clip(deviation**2 - noise, 0, None)) * spread
