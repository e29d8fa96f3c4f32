"""The front of rate against distortion: what lies on it, what it is worth, and where it bends. N trials."""

from functools import partial

import numpy as np

from analysis.statistics.resampling import RESAMPLES, Interval, bootstrap

FLAT = 1e-9  # of the scaled front: what bends less is a line
_KNEE_RESAMPLES = 300


def pareto_front(rate: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """(N,), (N,) -> (N,) bool: the points that no other is at least as low as in both and lower in one.
    Finite; in time N log N, as a long study has 10,000 trials."""
    points, place = np.unique(np.stack([rate, distortion], 1), axis=0, return_inverse=True)
    # sorted by rate, then distortion: only an earlier point can dominate, and does unless this one is lower
    lowest_before = np.fmin.accumulate(np.concatenate([[np.inf], points[:-1, 1]]))
    return (points[:, 1] < lowest_before)[place.reshape(-1)]


def reference_point(*studies: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """The corner that the hypervolumes of all these studies are measured from: a tenth of the range beyond the
    worst rate and distortion on any front, so that the fronts' ends count and a dominated trial does not.
    Takes each study's rates and distortions, (N,) and (N,), finite, of one trial or more together."""
    fronts = np.concatenate([np.stack(study)[:, pareto_front(*study)] for study in studies], 1)
    ends = zip(fronts.min(1).tolist(), fronts.max(1).tolist(), strict=True)
    rate, distortion = (high + (0.1 * (high - low) or 0.1 * abs(high) or 1.0) for low, high in ends)
    return rate, distortion


def hypervolume(rate: np.ndarray, distortion: np.ndarray, reference: tuple[float, float]) -> float:
    """The area between the front and the reference point, in nats squared: all that some trial is at least
    as good as in both (Zitzler & Thiele 1999, IEEE Trans. Evol. Comput. 3(4)). Takes (N,), (N,) in nats per
    image; what is not finite and below ``reference`` in both adds nothing."""
    inside = (rate < reference[0]) & (distortion < reference[1]) & np.isfinite(rate + distortion)
    order = np.argsort(rate[inside])
    x, y = rate[inside][order], np.minimum.accumulate(distortion[inside][order])
    return float(np.sum(np.diff(x, append=reference[0]) * (reference[1] - y)))


def hypervolume_interval(
    rate: np.ndarray, distortion: np.ndarray, reference: tuple[float, float], resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """The hypervolume, and its interval over resampled trials; None of fewer than 2. A resample has no new trials,
    so the interval ends at the estimate: it says how much of the front hangs on a few of them."""
    area = partial(hypervolume, reference=reference)
    found = bootstrap(area, rate, distortion, resamples=resamples, seed=seed)
    return found and Interval(found.estimate, min(found.low, found.estimate), found.estimate)


def spread(rate: np.ndarray, distortion: np.ndarray, count: int) -> list[int]:
    """(N,), (N,), finite -> the positions of at most ``count`` points of the front, spread over it: its knee (or its
    middle), then again and again the one farthest from those before, both axes scaled to [0, 1]."""
    if not len(rate):
        return []
    front = np.flatnonzero(pareto_front(rate, distortion))
    points, first = np.unique(np.stack([rate, distortion], 1)[front], axis=0, return_index=True)  # by rate; once each
    positions, bend = front[first], knee(rate, distortion)
    start = len(points) // 2 if bend is None else int(np.flatnonzero(points[:, 0] == rate[bend])[0])
    scaled = (points - points.min(0)) / np.where(np.ptp(points, 0) > 0, np.ptp(points, 0), 1.0)
    found = [start]
    while len(found) < min(count, len(points)):
        away = np.linalg.norm(scaled[:, None] - scaled[found], axis=2).min(1)
        found.append(int(away.argmax()))
    return [int(positions[n]) for n in found][:count]


def below_chord(rate: np.ndarray, distortion: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(N,), (N,) -> the positions of the front's points and how far they lie below the chord between its ends, both
    axes scaled to [0, 1], each (F,); negative above it. None for fewer than 3 different points."""
    front = np.flatnonzero(pareto_front(rate, distortion) & np.isfinite(rate + distortion))
    if len(np.unique(rate[front])) < 3:
        return None
    x, y = rate[front], distortion[front]
    return front, 1 - (x - x.min()) / np.ptp(x) - (y - y.min()) / np.ptp(y)


def knee(rate: np.ndarray, distortion: np.ndarray) -> int | None:
    """Where more rate begins to buy less: the position of the front's point that lies farthest below its
    chord (Kneedle: Satopää et al. 2011, ICDCS workshops). None for a front of fewer than 3 different points,
    or one that does not bend inwards. Takes (N,), (N,)."""
    found = below_chord(rate, distortion)
    return None if found is None or found[1].max() <= FLAT else int(found[0][found[1].argmax()])


def knee_share(
    rate: np.ndarray, distortion: np.ndarray, resamples: int = _KNEE_RESAMPLES, seed: int = 0
) -> float | None:
    """How surely the knee is where it is: of the resamples of the trials that hold its point, as two thirds
    do, the share in which it is the knee. None where there is no knee. Takes (N,), (N,)."""
    at = knee(rate, distortion)
    if at is None:
        return None
    rng, points = np.random.default_rng(seed), np.stack([rate, distortion], 1)
    with_it = same = 0
    for _ in range(resamples):
        drawn = np.unique(rng.integers(len(rate), size=len(rate)))  # a front does not count its points
        if (points[drawn] == points[at]).all(1).any():
            found = knee(rate[drawn], distortion[drawn])
            with_it += 1
            same += found is not None and bool((points[drawn[found]] == points[at]).all())
    return same / with_it if with_it else None
