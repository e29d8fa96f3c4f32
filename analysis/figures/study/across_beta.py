"""What the KL weight does to images: the same test images and the same noise through several models. M models, K
columns, images of C x H x W."""

import math
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.images import decode, decode_prior, unit, varied_rows
from analysis.figures.registry import StudyContext, StudyFigure
from analysis.figures.style import latents, plain, show_tiles, styled
from analysis.measures.codes import encode
from analysis.measures.sweep import views
from analysis.reading.best_runs import Run
from trainables.data.datasets import Split
from trainables.errors import UserError
from trainables.training.process_group import first_device
from vae_models import VAE, ModelConfig

_COLUMNS = 8
_MODELS = 6  # that are drawn beside each other, at most


@dataclass(frozen=True)
class AcrossBeta:
    """Models of one data set, by KL weight."""

    beta: np.ndarray  # (M,) rising
    latent_dim: np.ndarray  # (M,)
    labels: list[str]  # the runs' names
    originals: np.ndarray  # (K, C, H, W) in [0, 1]: test images
    decoded: np.ndarray  # (M, K, C, H, W) in [0, 1]: from each model's posterior means of them
    samples: np.ndarray
    """(M, K, C, H, W) in [0, 1]: from the same noise, of which a model takes as many numbers as it has latents."""


def _runs_across_beta(trials: list[Run]) -> list[Run]:
    """Complete trials spread over the KL weights; of one architecture, that with the widest range of weights, so
    that these alone tell them apart."""

    def span(runs: list[Run]) -> float:
        weights = [run.config.beta for run in runs]
        return max(weights) / min(weights) if min(weights) > 0 else math.inf if max(weights) > 0 else 1.0

    by_model: dict[ModelConfig, list[Run]] = {}
    for run in trials:
        by_model.setdefault(run.config.model, []).append(run)
    widest = max(by_model.values(), key=span) if by_model else []
    widest = sorted(widest, key=lambda run: run.config.beta)
    spread = np.linspace(0, max(0, len(widest) - 1), _MODELS).round().astype(int)
    return [widest[row] for row in np.unique(spread)[: len(widest)]]


def _compute(study: StudyContext) -> AcrossBeta:
    models, shape = [], study.record.base.model.image_shape
    test = study.data.test if study.data else Split(np.zeros((0, *shape), np.uint8), np.zeros(0, int))
    with suppress(UserError):  # its own figures say what is wrong with it
        if study.record.is_multi_rate and study.runs and study.data:
            best = study.runs[0]
            models = [(beta, best.label, view) for beta, view in views(best.load_whole().to(first_device()), _MODELS)]
            return compute_across_beta(models, test)
    for run in _runs_across_beta(study.searched_runs) if study.data else ():
        with suppress(UserError):
            models.append((run.config.beta, run.label, run.load().to(first_device())))
    return compute_across_beta(models, test)


def compute_across_beta(models: list[tuple[float, str, VAE]], test: Split) -> AcrossBeta:
    """Reconstruct 8 test images and decode 8 draws from the prior with each model: its KL weight, its name and
    itself, in any order. ``test`` has images of the models' shape."""
    models = sorted(models, key=lambda entry: (entry[0], entry[2].config.latent_dim))
    chosen = test.images[varied_rows(test.labels, _COLUMNS)]
    sizes = np.array([model.config.latent_dim for _, _, model in models], dtype=int)
    noise = np.random.default_rng(0).standard_normal((max(sizes, default=1), _COLUMNS)).T
    decoded = [decode(model, encode(model, chosen)[0]) for _, _, model in models]
    samples = [decode_prior(model, noise[:, : model.config.latent_dim]) for _, _, model in models]
    return AcrossBeta(
        beta=np.array([beta for beta, _, _ in models], dtype=float),
        latent_dim=sizes,
        labels=[label for _, label, _ in models],
        originals=unit(chosen),
        decoded=np.array(decoded, np.float32).reshape(len(models), *chosen.shape),
        samples=np.array(samples, np.float32).reshape(len(models), _COLUMNS, *chosen.shape[1:]),
    )


@styled
def draw_across_beta(across: AcrossBeta) -> Figure:
    """A row a model: the test images' reconstructions on the left, samples on the right."""
    rows = len(across.beta) + 1
    height, width = across.originals.shape[-2:]
    figure = Figure(figsize=(16, 0.88 * height / width * rows + 1.0))
    left, right = figure.subplots(1, 2)
    labels = [
        f"β {beta:.3g}, {latents(size)}\n{plain(label)}"
        for beta, size, label in zip(across.beta, across.latent_dim, across.labels, strict=True)
    ]
    show_tiles(left, np.concatenate([across.originals[None], across.decoded]), ["test images", *labels])
    show_tiles(right, np.concatenate([np.ones_like(across.samples[:1]), across.samples]))
    left.tick_params(axis="y", labelsize=12)
    left.set_title("reconstructions of the same test images")
    right.set_title("decoded from the same noise")
    return figure


FIGURE = StudyFigure(
    name="across_beta",
    title="Images by KL weight",
    order=100,
    caption="The same test images and the same noise through models of rising KL weight, or through one network: what "
    "is left, and what is made up.",
    compute=_compute,
    draw=draw_across_beta,
    shown=lambda across: len(across.beta) > 1,
)
