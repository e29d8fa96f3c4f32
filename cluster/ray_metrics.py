"""Metrics that a driver shows to Prometheus through Ray."""

from __future__ import annotations

from ray.util.metrics import Gauge, Histogram


def gauge(name: str, text: str, labels: dict[str, str], *more: str) -> Gauge:
    """One number, by ``labels`` and the names of ``more`` that are given with each value."""
    found = Gauge(name, text, (*labels, *more))
    found.set_default_tags(labels)
    return found


def histogram(name: str, text: str, labels: dict[str, str], ends: list[float]) -> Histogram:
    """How often a value was in each bucket up to one of ``ends``."""
    found = Histogram(name, text, ends, tuple(labels))
    found.set_default_tags(labels)
    return found
