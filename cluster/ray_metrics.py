"""Metrics that a driver shows to Prometheus through Ray."""

from ray.util.metrics import Gauge, Histogram


def exported(name: str, text: str, study: str, *tags: str, ends: list[float] | None = None) -> Gauge | Histogram:
    """A gauge, or a histogram of buckets up to ``ends``, of a study; ``tags`` are given with each value."""
    names = ("study", *tags)
    found = Gauge(name, text, names) if ends is None else Histogram(name, text, ends, names)
    found.set_default_tags({"study": study})
    return found
