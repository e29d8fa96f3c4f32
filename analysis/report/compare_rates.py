"""One multi-rate network against the trials of a study that trained each KL weight for itself. M KL weights."""

from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.plane import likelihoods
from analysis.figures.plotly_style import NEUTRAL, add_dots, scale_by_weight
from analysis.figures.registry import StudyContext
from analysis.figures.study import rate_curve
from analysis.figures.style import BETA_LABEL, OKABE_ITO
from analysis.reading.frames import eligible

_TIE = 0.005  # nats that two digits do not show


@dataclass(frozen=True)
class AgainstPlain:
    """The best network of a study's search, no final training, at each weight where it was measured, (M,), and the
    trial of another that has the lowest D + beta R there: nats per image of the validation images."""

    network: str
    rival: str
    rate: np.ndarray
    distortion: np.ndarray  # with its constant
    beta: np.ndarray
    loss: np.ndarray  # D + beta R, D without its constant
    trial: np.ndarray  # its number
    lowest: np.ndarray

    @property
    def above(self) -> np.ndarray:
        """Nats that the network lies above that trial; below 0 it is better."""
        return np.asarray(self.loss - self.lowest)

    @property
    def table(self) -> pd.DataFrame:
        """A row a KL weight."""
        return pd.DataFrame(
            {
                BETA_LABEL: self.beta,
                "D + βR of the network (nats)": self.loss,
                "lowest of any trial (nats)": self.lowest,
                "trial": self.trial,
                "network above it (nats)": self.above,
                "network above it (%)": (100 * self.above / self.lowest).round(1),
            }
        )

    @property
    def sentence(self) -> str:
        """Which is better where, and by how much."""
        above, share = self.above, 100 * self.above / self.lowest
        worst, best = int(above.argmax()), int(above.argmin())
        no_worse = int((above < _TIE).sum())
        said = (
            f"One network, {self.network}, against the best trial of {self.rival} for each KL weight: "
            f"distortion + β rate, without the distortion's constant, is {_by(float(share.mean()))} in the mean over "
            f"its {len(above)} weights"
        )
        if len(above) > 1:
            said += f", from {_at(self, best)} to {_at(self, worst)}"
        return f"{said}; at {no_worse} of them the network is as good or better."


def _by(percent: float) -> str:
    return f"{abs(percent):.1f}% {'higher' if percent > 0 else 'lower'}"


def _at(found: AgainstPlain, k: int) -> str:
    return f"{found.above[k]:+.2f} nats at a KL weight of {found.beta[k]:.3g}"


def against_plain(network: tuple[str, StudyContext], plain: tuple[str, StudyContext]) -> AgainstPlain | None:
    """A study of multi-rate networks, by name, against one of plain trials; None where either has no complete trial,
    or they measure distortion under different likelihoods."""
    curves, trials = network[1].of(rate_curve.FIGURE), plain[1].trials
    known = trials[eligible(trials, plain[1].record.where)]
    if not network[1].searched_runs or not len(known) or likelihoods(plain[1]) != likelihoods(network[1]):
        return None
    rate, distortion = known["val_rate"].to_numpy(float), known["val_distortion"].to_numpy(float) - curves.constant
    prices = distortion + curves.beta[:, None] * rate
    first, lowest = prices.argmin(1), prices.min(1)
    numbers = known["number"].to_numpy(int)[first]
    own = network[1].searched_runs[0].label
    k = curves.label.index(own)
    best = curves.rate[k], curves.distortion[k], curves.beta, curves.loss[k]
    return AgainstPlain(f"{own} of {network[0]}", plain[0], *best, numbers, lowest)


def add_network(figure: go.Figure, found: AgainstPlain) -> None:
    """Its curve, in a chart of the trials it is compared with."""
    name = escape(found.network)
    texts = [f"{name}<br>{BETA_LABEL} {beta:.3g}" for beta in found.beta]
    look = {"mode": "lines+markers", "marker": {"size": 8, "color": NEUTRAL}, "line": {"width": 3, "color": NEUTRAL}}
    hover = "%{text}<br>rate %{x:.2f}, distortion %{y:.2f} nats"
    add_dots(figure, found.rate, found.distortion, hover, text=texts, name=name, **look)


def against_chart(found: AgainstPlain) -> go.Figure:
    """How far the network lies above the best trial of each KL weight."""
    figure = go.Figure()
    texts = [f"{BETA_LABEL} {beta:.3g}: trial {number}" for beta, number in zip(found.beta, found.trial, strict=True)]
    look = {"mode": "lines+markers", "marker": {"size": 9, "color": OKABE_ITO["blue"]}, "text": texts}
    add_dots(figure, found.beta, found.above, "%{text}<br>%{y:+.2f} nats", showlegend=False, **look)
    figure.add_hline(0, line={"color": NEUTRAL, "dash": "dash"})
    scale_by_weight(figure, found.beta)
    return figure.update_yaxes(title=f"D + βR above the best trial<br>of {escape(found.rival)} (nats)")
