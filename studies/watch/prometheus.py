"""What a study's driver tells Prometheus through Ray: see cluster/deploy/prometheus.yml and grafana.json there."""

from collections.abc import Iterable
from typing import Any

from studies.watch.live_view import View
from trainables.metrics import Metrics
from trainables.slots.messages import Assignment

EXPORTED = {
    "vae_trials": "Trials by state: complete, pruned, failed, running.",
    "vae_best_bits_per_dim": "The study's lowest validation negative ELBO so far, in bits per dimension.",
    "vae_images_per_second": "Training images that all running trials take together.",
    "vae_cpu_hours": "Core hours that the study's epochs took since its driver started.",
    "vae_gpu_hours": "GPU hours that the study's epochs took since its driver started.",
    "vae_epoch_seconds": "How long the epochs took.",
    "vae_queue_seconds": "How long trainings waited for workers.",
}
"""By name, without the ``ray_`` that Ray puts before it. Each is tagged with its ``study``."""
SECONDS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0]  # where the histograms' buckets end


class Meter:
    """Counts what a study's trainings take. In a Ray driver, once it is opened, Prometheus sees that too."""

    def __init__(self) -> None:
        self.gpu_seconds = self.cpu_seconds = 0.0
        self._exported: dict[str, Any] = {}

    def open(self, study: str) -> None:
        """Show Prometheus what is counted, under the study's name."""
        from cluster.ray_metrics import exported

        for name, text in EXPORTED.items():
            tags = ["state"] if name == "vae_trials" else []
            ends = SECONDS if name.endswith("_seconds") else None
            self._exported[name] = exported(name, text, study, *tags, ends=ends)

    def spend(self, row: Metrics) -> None:
        """Count a new epoch."""
        self.gpu_seconds += row.get("gpu_seconds", 0.0)
        self.cpu_seconds += row.get("cpu_seconds", 0.0)
        self._observe("vae_epoch_seconds", row["epoch_seconds"])

    def assigned(self, assignments: Iterable[Assignment]) -> None:
        """Count how long a training waited for its workers."""
        for assignment in assignments:
            if assignment.waited is not None:
                self._observe("vae_queue_seconds", assignment.waited)

    def _observe(self, name: str, seconds: float) -> None:
        if histogram := self._exported.get(name):
            histogram.observe(seconds)

    def publish(self, view: View) -> None:
        """Export how things stand."""
        if not self._exported:
            return
        for state, count in view.counts().items():
            self._exported["vae_trials"].set(count, {"state": state})
        values = {
            "vae_best_bits_per_dim": view.lowest_bits(),
            "vae_images_per_second": view.images_per_second(),
            "vae_cpu_hours": self.cpu_seconds / 3600,
            "vae_gpu_hours": self.gpu_seconds / 3600,
        }
        for name, value in values.items():
            if value is not None:
                self._exported[name].set(value)
