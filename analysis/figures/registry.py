"""What a figure is, what it is computed from, and how all are found.

To add one, add a module to `analysis.figures.study` or `analysis.figures.model` that defines ``FIGURE``: the page,
its caption, the files and the progress follow. A module whose name begins with an underscore is what several share.
"""

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from analysis.measures.codes import Codes, encode
from analysis.measures.linear import LinearModel, linear_model
from analysis.reading.best_runs import Run, ranked_runs
from analysis.reading.frames import complete_trials, load_epochs, load_repeats, load_trials
from analysis.reading.study_record import StudyRecord
from trainables.data.datasets import Dataset
from trainables.errors import UserError
from vae_models import VAE

if TYPE_CHECKING:
    import plotly.graph_objects as go

T = TypeVar("T")


class StudyContext:
    """A study that is read: what its figures are computed from. Each part is made when it is first asked for."""

    def __init__(self, record: StudyRecord, data: Dataset | None = None) -> None:
        self.record, self.data = record, data
        self._computed: dict[str, Any] = {}

    @cached_property
    def trials(self) -> pd.DataFrame:
        """As `analysis.load_trials`."""
        return load_trials(self.record)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """As `analysis.load_epochs`."""
        return load_epochs(self.record)

    @cached_property
    def repeats(self) -> pd.DataFrame:
        """As `analysis.load_repeats`."""
        return load_repeats(self.record)

    @cached_property
    def runs(self) -> list[Run]:
        """The complete trials, and the final training once it is finished, best first."""
        return ranked_runs(self.record, self.trials)

    @property
    def searched_runs(self) -> list[Run]:
        """The complete trials alone, best first."""
        return [run for run in self.runs if not run.is_final]

    @property
    def final(self) -> Run | None:
        """The best of the finished last, longer trainings."""
        return next((run for run in self.runs if run.is_final), None)

    @cached_property
    def linear(self) -> LinearModel:
        """The best linear model of the training images, with as many latents as the largest complete trial. Raises:
        UserError, which says why, where there is none."""
        latent_dim = complete_trials(self.trials)["latent_dim"].max()
        if pd.isna(latent_dim):
            raise UserError("no trial is complete")
        if "model.likelihood" in self.record.space:
            raise UserError("its closed form is of the Gaussian likelihood, and the study searches it")
        if self.data is None:
            raise UserError("it needs the images")
        return linear_model(self.data, self.record.base.model, int(latent_dim))

    def of(self, figure: "StudyFigure[T]") -> T:
        """What a figure shows of this study, computed once."""
        if figure.name not in self._computed:
            self._computed[figure.name] = figure.compute(self)
        return cast(T, self._computed[figure.name])


@dataclass(frozen=True)
class ModelContext:
    """A model in evaluation mode, on any device: what its figures are computed from."""

    model: VAE
    dataset: Dataset | None  # None where it cannot be had: only what needs no images is drawn
    given_codes: Codes | None = None  # the test images' posteriors, where they are computed already
    seed: int = 0  # of the choice of images, the embedding and the samples
    rows: Sequence[Mapping[str, float]] = ()  # what its training measured, a row an epoch

    @property
    def data(self) -> Dataset:
        """Raises: ValueError where there is none."""
        if self.dataset is None:
            raise ValueError("a figure of images needs a data set")
        return self.dataset

    @property
    def has_standard_prior(self) -> bool:
        """Whether its prior is N(0, I), which is the same along each latent."""
        return self.model.config.prior == "standard_normal"

    @property
    def unit(self) -> str:
        """Of a latent's value."""
        return "prior standard deviations" if self.has_standard_prior else "standard deviations of N(0, 1)"

    @cached_property
    def codes(self) -> Codes:
        """The posteriors of the test images."""
        return encode(self.model, self.data.test.images) if self.given_codes is None else self.given_codes


@dataclass(frozen=True, kw_only=True)
class StudyFigure(Generic[T]):
    """A figure of a study as a whole."""

    name: str  # of its files, ``study/<name>.png`` and ``.pdf``
    title: str  # its heading on the page
    order: int  # its place on the page: the trade-off, what made it, how the search went
    caption: str
    compute: Callable[[StudyContext], T]  # the numbers, as a frozen dataclass of arrays
    note: Callable[[T], str] = lambda _: ""  # why there is nothing to draw: shown instead of it; empty where there is
    draw: Callable[[T], Figure]
    chart: "Callable[[T], go.Figure | None]" = lambda _: None  # the same to hover and zoom, if it has one
    shown: Callable[[T], bool] = lambda _: True  # whether the page has it, be it a note
    possible: Callable[[StudyContext], bool] = lambda _: True  # whether it is of such a study, before it is computed


def of_plain_trials(study: StudyContext) -> bool:
    """A figure's ``possible``: each trial has one KL weight, by which it is drawn."""
    return not study.record.is_multi_rate


def of_multi_rate_trials(study: StudyContext) -> bool:
    """A figure's ``possible``: each trial is a curve over KL weights."""
    return study.record.is_multi_rate


@dataclass(frozen=True, kw_only=True)
class ModelFigure(Generic[T]):
    """A figure of one model."""

    name: str  # of its folder, ``<name>/<stem>.png`` and ``.pdf``
    title: str  # its heading on the page
    order: int  # its place on the page: what is rendered, what is made up, the latents, the classes, the training
    caption: str
    compute: Callable[[ModelContext], T]  # the numbers, as a frozen dataclass of arrays
    draw: Callable[[T], Figure | list[Image.Image]]  # a figure; or the frames of one that moves, which is a GIF
    folder: str = ""  # where it is not the name
    possible: Callable[[ModelContext], bool] = lambda model: model.dataset is not None  # whether what it needs is there


@cache
def study_figures() -> dict[str, StudyFigure[Any]]:
    """All figures of a study, by name in the order of the page."""
    return _found("analysis.figures.study")


@cache
def model_figures() -> dict[str, ModelFigure[Any]]:
    """All figures of a model, by name in the order of the page."""
    return _found("analysis.figures.model")


def _found(package: str) -> dict[str, Any]:
    modules = pkgutil.iter_modules(import_module(package).__path__)
    figures = [import_module(f"{package}.{module.name}").FIGURE for module in modules if module.name[0] != "_"]
    return {figure.name: figure for figure in sorted(figures, key=lambda figure: figure.order)}
