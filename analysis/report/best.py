"""The answer to "which model do I take?", for a person and for a program."""

import math
from typing import Any

import pandas as pd

from analysis.figures.style import of_pixels
from analysis.reading.best_runs import Run
from analysis.reading.certainty import Certainty, certainty
from analysis.reading.choice import Choice, price_of, typed_weight
from analysis.reading.frames import load_repeats
from trainables.config import TrialConfig
from trainables.metrics import AT_EACH_RATE, VALIDATION
from trainables.text import as_typed


def _wish_words(choice: Choice) -> str:
    """What was asked for, and how the run answers it: a clause after its name."""
    value, rank = choice.wish.value, "the best run of the study"
    if choice.study.has_front:
        rank = "where the front of rate against distortion bends, or in its middle where it does not"
    met = {
        "rate": f"the lowest distortion at no more than {value:g} nats of rate",
        "distortion": f"the lowest rate at no more than {value:g} nats of distortion",
        "price": f"the lowest distortion + {value:g} x rate",
        "bits": "the fewest bits per dimension",
        "knee": "the knee of the front of rate against distortion",
        "best": rank,
    }
    missed = {
        "rate": f"no run has a rate of {value:g} nats or less, and this one's is the nearest",
        "distortion": f"no run has a distortion of {value:g} nats or less, and this one's is the nearest",
        "knee": "the front has no knee, and this run is first among the others",
    }
    return met[choice.wish.kind] if choice.is_met else missed[choice.wish.kind]


def best_facts(choice: Choice) -> dict[str, str | list[str]]:
    """What `python -m analysis best` prints, by name."""
    run, model, best = choice.run, choice.run.config.model, choice.run.best
    if choice.rates is not None:
        return _network_facts(choice, choice.rates)
    return {
        "take": f"{run.label}, {_wish_words(choice)}",
        "gives": f"rate {best['val_rate']:.2f} nats, distortion {best['val_distortion']:.2f} nats, "
        f"MSE {best['val_mse']:.5f}, {best['val_bits_per_dim']:.4f} bits per dimension{of_pixels(model)} (validation "
        "images)",
        "is": f"KL weight {run.config.main_beta:.4g}, latent size {model.latent_dim}, {model.layers}, "
        f"{model.density_words}{_loss_words(run.config)}; epoch {int(best['epoch'])} of {run.config.epochs}",
        "weights": as_typed(run.folder.best),
        "config": as_typed(run.folder.path / "config.json"),
        "next": _neighbours(choice),
        "sure": _sure(choice),
    }


def _loss_words(config: TrialConfig) -> str:
    """What was minimised, where it is not D + beta R."""
    bound = f", trained by the bound of {config.importance_samples} importance samples"
    bits = f", trained with {config.free_bits:g} free nats a latent"
    return bound * (config.importance_samples > 1) + bits * (config.free_bits > 0)


def _network_facts(choice: Choice, rates: pd.DataFrame) -> dict[str, str | list[str]]:
    """The same of a multi-rate network: at which KL weight it answers the wish, and how it is used at any."""
    run, model, at = choice.run, choice.run.config.model, rates.iloc[choice.place]
    low, high = model.beta_range
    missed = {
        "knee": "its curve has no knee, and this is the middle of its range",
        "rate": f"none of its weights has a rate of {choice.wish.value:g} nats or less, and this is the nearest",
        "distortion": f"none of them has a distortion of {choice.wish.value:g} nats or less, and this is the nearest",
    }
    met = _wish_words(choice).replace("front of rate against distortion", "curve")
    why = met if choice.is_met else missed[choice.wish.kind]
    if choice.wish.kind == "best":
        why = "the middle of its range"
    folder, beta = repr(str(choice.study.folder)), typed_weight(float(at["beta"]), model.beta_range)
    return {
        "take": f"{run.label}, one network for every KL weight from {low:g} to {high:g}, at {beta}: {why}",
        "gives": f"rate {at['val_rate']:.2f} nats, distortion {at['val_distortion']:.2f} nats, "
        f"MSE {at['val_mse']:.5f}, {at['val_bits_per_dim']:.4f} bits per dimension (validation images)",
        "is": f"latent size {model.latent_dim}, {model.layers}; epoch {int(run.best['epoch'])} of {run.config.epochs}; "
        f"distortion + beta rate is {run.best['val_relative_loss']:.3f} of a linear model's, mean over its weights",
        "use": f"load_best({folder}, beta={beta}) of analysis is the plain network at this weight",
        "weights": as_typed(run.folder.best),
        "config": as_typed(run.folder.path / "config.json"),
        "next": _next_weights(rates, choice.place, model.beta_range),
    }


def _next_weights(rates: pd.DataFrame, place: int, beta_range: tuple[float, float]) -> list[str]:
    """What the measured KL weights on either side would give."""
    return [
        f"at {typed_weight(row['beta'], beta_range)} the rate is {row['val_rate']:.2f} nats, the distortion "
        f"{row['val_distortion']:.2f}"
        for k, row in rates.iterrows()
        if abs(int(str(k)) - place) == 1
    ]


def _neighbours(choice: Choice) -> list[str]:
    """What the run costs and brings, next to either neighbour."""
    own, beside, lines = choice.run.best, choice.beside, []
    if beside.better:
        rate, distortion = (own[name] - beside.better.best[name] for name in ("val_rate", "val_distortion"))
        return [f"{beside.better.label} has {rate:.2f} nats less rate, and {distortion:.2f} less distortion"]
    for run, less, more in ((beside.shorter, "rate", "distortion"), (beside.faithful, "distortion", "rate")):
        if run is None:
            whose = " with its likelihood" * ("likelihood" in choice.study.searched)
            lines.append(f"no run of the front{whose} has a lower {less}")
            continue
        saved = own[f"val_{less}"] - run.best[f"val_{less}"]
        paid = run.best[f"val_{more}"] - own[f"val_{more}"]
        lines.append(
            f"{run.label} has {saved:.2f} nats less {less} and {paid:.2f} more {more}: "
            f"{price_of(own, run.best):.3g} nats of distortion for a nat of rate"
        )
    return lines


def _sure(choice: Choice) -> str:
    """How sure it is that the run is best at its own KL weight."""
    if choice.run.is_final:
        return "one training; the trial that it trains longer was chosen by the search"
    found = _certainty(choice)
    words = found.words
    if found.rival is None:
        has_its = "with its likelihood " * ("likelihood" in choice.study.searched)
        return f"{words}, and no other trial {has_its}is complete"
    if found.difference is not None:
        gap = found.difference.interval
        return f"{words}: it lies {gap.estimate:+.2f} nats from it, 95% interval {gap.low:+.2f} to {gap.high:+.2f}"
    where = f"{found.ahead:.2f} nats ahead of" if found.ahead >= 0 else f"{-found.ahead:.2f} nats behind"
    return f"{words}, {where} trial {found.rival} at its own KL weight; --seeds 3 of the study tells merit from luck"


def _certainty(choice: Choice) -> Certainty:
    return certainty(choice.trials, load_repeats(choice.study), choice.run.number)


def best_json(choice: Choice) -> dict[str, Any]:
    """What `python -m analysis best --json` prints: see analysis/README.md. JSON values; what is unknown is None."""
    found = None if choice.run.is_final or choice.study.is_multi_rate else _certainty(choice)
    neighbours = {"shorter": choice.beside.shorter, "faithful": choice.beside.faithful, "better": choice.beside.better}
    return {
        "study": str(choice.study.folder),
        "wish": {"kind": choice.wish.kind, "value": choice.wish.value},
        "met": choice.is_met,
        **_of(choice.run),
        **_at_its_weight(choice),
        "config": choice.run.config.model_dump(mode="json"),
        "neighbours": {name: run and _of(run) for name, run in neighbours.items()},
        "certainty": {
            "seeds": found.seeds if found else 0,
            "interval": [found.value.low, found.value.high] if found and found.value else None,
            "rival": found.rival if found else None,
            "ahead": found.ahead if found and found.rival is not None else None,
            "separable": found.difference.separable if found and found.difference else None,
        },
    }


def _at_its_weight(choice: Choice) -> dict[str, Any]:
    """Of a multi-rate network: the KL weight, and what was measured there."""
    if choice.rates is None:
        return {"beta": choice.run.config.beta}
    row = choice.rates.iloc[choice.place].items()
    at = {name: _known(float(value)) for name, value in row if name in AT_EACH_RATE}
    return {"beta": choice.beta, "metrics": at | {"val_relative_loss": choice.run.best["val_relative_loss"]}}


def _known(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def _of(run: Run) -> dict[str, Any]:
    """What names a run, and its best epoch on the validation images."""
    return {
        "run": run.label,
        "epoch": int(run.best["epoch"]),
        "weights": str(run.folder.best),
        "metrics": {name: _known(run.best[name]) for name in VALIDATION}
        | {"sigma": None if run.config.model.has_exact_likelihood else _known(run.best["sigma"])},
    }
