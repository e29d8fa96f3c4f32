"""The KL weight as a slider: what reconstructions, samples and interpolations become as it moves. K stops, each a model
at a KL weight: of one multi-rate network, or of the trials on a front."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from PIL import Image

from analysis.figures.images import decode_prior
from analysis.figures.model.interp import Interpolations, compute_interp, lerp
from analysis.figures.model.recon import COLUMNS, compute_recon
from analysis.figures.plane import framed, likelihoods
from analysis.figures.registry import ModelContext, StudyContext
from analysis.figures.study import latents_by_beta, rate_curve, rate_distortion
from analysis.figures.style import mosaic
from analysis.measures.sweep import views
from analysis.reading.best_runs import Run
from analysis.report.embedded import still_uri
from analysis.report.front import front_trials, spread_out
from trainables.errors import UserError
from trainables.training.process_group import first_device
from vae_models import VAE

_SAMPLES, _PAIRS, _WIDEST = 2 * COLUMNS, 3, 96  # pictures; pixels of one
_MOST_BYTES = 650_000  # of a sprite: three of them are 2.6 MB of a page
_QUALITIES = (80, 60, 40, 20)  # of WebP, for one that would be larger
_STRIP = 5  # stops that a reader without scripts sees
_WIDTH, _HEIGHT = 440, 300  # of the curve
_LEFT, _BOTTOM, _DIGIT = 32, 44, 7.5  # of it, for the axes without the digits of distortions; one of these
_MOST_STOPS = 9  # of a front, each a model that must be loaded


class Stop(NamedTuple):
    """A model at a KL weight, and what it trades: nats per image."""

    beta: float
    rate: float
    distortion: float
    label: str = ""  # the trial's, where each stop is another one

    @property
    def text(self) -> str:
        """For a person who sees it or hears it."""
        of = f", {self.label}" if self.label else ""
        return f"KL weight {self.beta:.3g}{of}: rate {self.rate:.1f} nats, distortion {self.distortion:.1f} nats"


@dataclass(frozen=True)
class Sprite:
    """The pictures of one kind at all stops, one below the other."""

    name: str
    title: str
    uri: str
    size: tuple[int, int]  # of one stop's, in pixels


@dataclass(frozen=True)
class Slider:
    """What the page shows."""

    stops: list[Stop]  # by KL weight
    sprites: list[Sprite]
    label: str  # the network's; empty where the stops are trials
    linear: np.ndarray | None  # (2, G) rate and distortion of the best linear model
    front_size: int = 0  # trials on the front, of which the stops are some; of a network 0

    @property
    def strip(self) -> list[int]:
        """Which stops stand for all."""
        places = np.linspace(0, len(self.stops) - 1, _STRIP).round().astype(int)
        return [int(place) for place in np.unique(places)]

    @cached_property
    def curve(self) -> "Curve":
        """The stops in the plane."""
        points = np.array([[stop.rate, stop.distortion] for stop in self.stops]).T
        return Curve(points, self.linear)

    @property
    def told(self) -> list[dict[str, object]]:
        """Each stop as the page's script reads it."""
        return [{"x": x, "y": y, "text": stop.text} for stop, (x, y) in zip(self.stops, self.curve.dots, strict=True)]


@dataclass(frozen=True)
class Curve:
    """Rates and distortions, (2, K), and the linear model's, (2, G), in the pixels of a drawing."""

    points: np.ndarray
    linear: np.ndarray | None
    size: tuple[int, int] = (_WIDTH, _HEIGHT)

    @cached_property
    def corner(self) -> tuple[int, int]:
        """Where the axes meet: the labels of distortions are left of it."""
        longest = max((len(label) for label in self._marks[1].values()), default=0)
        return round(_LEFT + _DIGIT * longest), _HEIGHT - _BOTTOM

    @cached_property
    def _frame(self) -> np.ndarray:
        return framed(self.points, self.linear, margin=0.07, least=1e-3)

    def _placed(self, points: np.ndarray) -> list[tuple[float, float]]:
        """(2, N) -> where each is drawn."""
        (left, right), (bottom, top) = self._frame
        x = self.corner[0] + (points[0] - left) / (right - left) * (_WIDTH - self.corner[0] - 8)
        y = 8 + (top - points[1]) / (top - bottom) * (_HEIGHT - _BOTTOM - 8)
        return [(round(float(a), 1), round(float(b), 1)) for a, b in zip(x, y, strict=True)]

    @cached_property
    def dots(self) -> list[tuple[float, float]]:
        """Of the stops."""
        return self._placed(self.points)

    @property
    def path(self) -> str:
        """Through the stops."""
        return _path(self.dots)

    @property
    def linear_path(self) -> str:
        """What of the linear model's lies in the frame."""
        if self.linear is None:
            return ""
        inside = ((self._frame[:, :1] <= self.linear) & (self.linear <= self._frame[:, 1:])).all(0)
        return _path(self._placed(self.linear[:, inside]))

    @property
    def ticks(self) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
        """Places and labels, of rates and of distortions."""
        found = []
        for axis, marks in enumerate(self._marks):
            points = np.zeros((2, len(marks))) + self._frame[:, :1]
            points[axis] = list(marks)
            places = [place[axis] for place in self._placed(points)]
            found.append(list(zip(places, marks.values(), strict=True)))
        return found[0], found[1]

    @cached_property
    def _marks(self) -> list[dict[float, str]]:
        """The values at the ticks of both axes, each with its label: with as many digits as tell them apart."""
        found = []
        for ends in self._frame:
            values = [float(it) for it in MaxNLocator(4).tick_values(*ends) if ends[0] <= it <= ends[1]]
            labels = ScalarFormatter(useOffset=False)
            labels.set_scientific(False)
            labels.create_dummy_axis()
            assert labels.axis
            labels.axis.set_view_interval(*ends)
            found.append(dict(zip(values, labels.format_ticks(values), strict=True)))
        return found


def _path(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def compute_slider(study: StudyContext) -> Slider | None:
    """Of the best network of a multi-rate study, or along the front of trials with a KL weight each; None without
    images, of fewer than two KL weights, or where distortions under several likelihoods cannot be compared."""
    if study.data is None or not len(study.data.test.images) or len(likelihoods(study)) > 1:
        return None
    front = [] if study.record.is_multi_rate else front_trials(study)
    runs = sorted(spread_out(front, _MOST_STOPS), key=lambda run: run.config.beta) or study.runs[:1]
    widest = max((run.config.model.latent_dim for run in runs), default=1)
    noise = np.random.default_rng(0).standard_normal((widest, _SAMPLES)).T
    frames: dict[str, list[np.ndarray]] = {name: [] for name in _TITLES}
    stops = []
    for stop, model in _views(study) if study.record.is_multi_rate else _walk(runs):
        stops.append(stop)
        for name, images in pictures(ModelContext(model, study.data), noise).items():
            frames[name].append(frame(images))
    if len({stop.beta for stop in stops}) < 2:
        return None
    sprites = [_sprite(name, parts) for name, parts in frames.items() if len(parts) == len(stops)]
    if study.record.is_multi_rate:
        return Slider(stops, sprites, runs[0].label, study.of(rate_curve.FIGURE).linear)
    found = study.of(rate_distortion.FIGURE).linear
    linear = None if found is None else np.stack([found.rate, found.distortion])
    return Slider(stops, sprites, "", linear, len(front))


def _views(study: StudyContext) -> Iterator[tuple[Stop, VAE]]:
    """The best network at each KL weight, from the lowest; none where its weights cannot be had."""
    found = study.of(latents_by_beta.FIGURE)
    if not found.note:
        rates, distortions = found.sweep.rate.tolist(), found.sweep.distortion.tolist()
        whole = study.runs[0].load_whole().to(first_device())
        for (beta, view), rate, distortion in zip(views(whole), rates, distortions, strict=True):
            yield Stop(beta, rate, distortion), view


def _walk(runs: list[Run]) -> Iterator[tuple[Stop, VAE]]:
    """These trials, each with its model, where they have two KL weights; those whose weights cannot be had are passed
    over."""
    if len({run.config.beta for run in runs}) < 2:
        return
    for run in runs:
        try:
            model = run.load().to(first_device())
        except UserError:
            continue  # its own section says what is wrong with it
        yield Stop(run.config.beta, run.best["val_rate"], run.best["val_distortion"], run.label), model


_TITLES = {
    "recon": "Test images, and their reconstructions",
    "noise": "Decoded from the same noise",
    "interp": "From one test image to another",
}


def pictures(context: ModelContext, noise: np.ndarray) -> dict[str, np.ndarray]:
    """What one model makes of the same images and of the same noise, (20, Z or more), of which it takes as many numbers
    as it has latents: (R, K, C, H, W) in [0, 1] by name."""
    recon, interp = compute_recon(context, COLUMNS), compute_interp(context, _PAIRS, [lerp])
    samples = decode_prior(context.model, noise[:, : context.model.config.latent_dim])
    found = {
        "recon": np.stack([recon.originals, recon.decoded]),
        "noise": samples.reshape(2, COLUMNS, *samples.shape[1:]),
    }
    if isinstance(interp, Interpolations):
        found["interp"] = np.concatenate([interp.ends[:, :1], interp.decoded[:, 0], interp.ends[:, 1:]], 1)
    return found


def frame(images: np.ndarray) -> np.ndarray:
    """(R, K, C, H, W) in [0, 1] -> one picture, (height, width, 3) uint8, with a gap below it as between its tiles;
    tiles of more than 96 pixels are made smaller."""
    gap = max(1, round(images.shape[-1] / 14))
    picture = np.pad(mosaic(images, gap), ((0, gap), (0, 0), (0, 0)), constant_values=1)
    whole = Image.fromarray((255 * picture).round().astype(np.uint8))
    return np.asarray(whole.reduce(math.ceil(max(images.shape[-2:]) / _WIDEST)))


def _sprite(name: str, frames: list[np.ndarray]) -> Sprite:
    height, width, _ = frames[0].shape
    uri = still_uri(Image.fromarray(np.concatenate(frames)), _MOST_BYTES, _QUALITIES)
    return Sprite(name, _TITLES[name], uri, (width, height))
