"""The table of a yardstick and its yardsticks.json: intervals against scipy, what is met, and what is kept."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from studies.yardstick.declaration import Figure, Yardstick
from studies.yardstick.results import RESULTS, RULES, Results, found, overview
from studies.yardsticks import YARDSTICKS
from trainables.records.atomic_files import seal, unseal

GREY, LINEAR = YARDSTICKS["mnist_grey"], YARDSTICKS["linear_mnist"]
FIGURE = Figure(quantity="nll", title="-log p(x)", unit="nats", published=84.45, error=0.12, source="a paper")
KEYS = {"study", "quantity", "title", "unit", "published", "error", "published_to", "tolerance", "source", "is_target"}
KEYS |= {"ours", "low", "high", "trainings", "met", "planned"}


def training(trial: int, study: str = "mnist_grey", **values: float) -> dict[str, Any]:
    facts = {"study": study, "trial": trial, "weights": f"hash {trial}", "samples": 20, "most_images": None}
    return facts | {"seed": trial, "epochs": 20, "best_epoch": 19, "seconds": 1.0, "values": values}


def test_the_interval_is_students() -> None:
    values = np.array([84.31, 84.6, 84.42])
    ours = found(FIGURE, values, 3, has_seeds=True, is_quick=False)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (ours.ours, ours.low, ours.high) == pytest.approx((values.mean(), expected.low, expected.high))
    assert ours.met is True


@pytest.mark.parametrize(
    ("values", "met"),
    [
        ([84.50, 84.55, 84.52], True),  # within the published error
        ([84.65, 84.66, 84.67], False),
        ([84.4, 84.7, 85.0], True),  # its interval begins below
        ([80.0, 80.1, 80.2], True),  # better
        ([84.57], True),
        ([84.58], False),
    ],
)
def test_met_is_not_worse_than_the_errors_of_both(values: list[float], met: bool) -> None:
    assert found(FIGURE, np.array(values), len(values), has_seeds=True, is_quick=False).met is met


@pytest.mark.parametrize(
    ("values", "furthest", "met"),
    [([0.001, 0.0099], 0.0099, True), ([0.001, 0.0101], 0.0101, False), ([0.001, -0.02], -0.02, False)],
)
def test_of_kl_weights_the_one_counts_that_is_furthest_from_the_closed_form(
    values: list[float], furthest: float, met: bool
) -> None:
    figure = LINEAR.variants[0].figures[0]
    ours = found(figure, np.array(values), len(values), has_seeds=False, is_quick=False)
    assert (ours.ours, ours.low, ours.high, ours.met) == (furthest, None, None, met)


def test_nothing_is_met_or_missed_before_all_is_trained_of_a_quick_version_and_beside_other_models() -> None:
    values = np.array([84.0, 84.1])
    assert found(FIGURE, values, 3, has_seeds=True, is_quick=False).met is None
    assert found(FIGURE, values, 2, has_seeds=True, is_quick=True).met is None
    beside = Figure(**vars(FIGURE) | {"is_target": False})
    assert found(beside, values, 2, has_seeds=True, is_quick=False).met is None
    assert found(FIGURE, values[:0], 3, has_seeds=True, is_quick=False).ours is None


def test_the_file_has_its_schema_and_is_read_again(tmp_path: Path) -> None:
    results = Results.read(GREY, tmp_path / "grey")
    for trial in (1, 0):
        results.add(training(trial, nelbo=1.4 + trial / 100, nll=1.38))
    content = json.loads((tmp_path / "grey" / RESULTS).read_text())
    whole = unseal((tmp_path / "grey" / RESULTS).read_bytes())
    assert whole | {"content_sha256": content["content_sha256"]} == content
    assert content.keys() >= {"version", "name", "is_quick", "protocol", "departures", "rule", "date", "hardware"}
    assert (content["version"], content["rule"]) == (1, RULES[True])
    assert [set(row) for row in content["figures"]] == [KEYS, KEYS]
    assert [row["trainings"] for row in content["figures"]] == [2, 2]
    assert [each["trial"] for each in content["trainings"]] == [0, 1]
    again = Results.read(GREY, tmp_path / "grey")
    assert again.trainings == results.trainings
    assert again.figures() == results.figures()


def test_a_training_is_known_by_its_weights_and_by_how_it_was_measured(tmp_path: Path) -> None:
    results = Results(GREY, tmp_path)
    results.add(training(0, nelbo=1.4, nll=1.38))
    key = {name: training(0)[name] for name in ("study", "trial", "weights", "samples", "most_images")}
    assert results.measured(key)
    for other in ({"weights": "others"}, {"samples": 5}, {"most_images": 200}, {"trial": 1}, {"study": "another"}):
        assert results.measured(key | other) is None
    results.add(training(0, nelbo=1.3, nll=1.2) | {"weights": "others"})
    assert [each["weights"] for each in results.trainings] == ["others"]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": 1}', b"[]"])
def test_a_file_that_is_torn_or_altered_counts_for_nothing(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / RESULTS).write_bytes(damage)
    assert Results.read(GREY, tmp_path).trainings == []
    for others in ({"version": 99, "name": GREY.name}, {"version": 1, "name": "another"}):
        (tmp_path / RESULTS).write_text(seal(others | {"trainings": [training(0)]}))
        assert Results.read(GREY, tmp_path).trainings == []


def test_fewer_seeds_than_before_are_the_first(tmp_path: Path) -> None:
    results = Results(GREY.with_seeds(2), tmp_path)
    for trial in range(3):
        results.add(training(trial, nelbo=1.4 + trial, nll=1.38))
    assert [row["ours"] for row in results.figures()] == pytest.approx([1.9, 1.38])


def shown(yardstick: Yardstick, folder: Path, *trainings: dict[str, Any]) -> str:
    results, file = Results(yardstick, folder), io.StringIO()
    for each in trainings:
        results.add(each)
    results.show(Console(file=file, width=200))
    return file.getvalue()


def test_a_bound_that_few_samples_carry_is_said_to_be_loose(tmp_path: Path) -> None:
    loose = training(0, nelbo=1.5, nll=1.36, effective_samples=1.62)
    assert "1.6 samples carry a bound on log p(x)" in shown(GREY, tmp_path, loose)
    assert "carry a bound" not in shown(GREY, tmp_path, training(0, nelbo=1.5, nll=1.36, effective_samples=44.0))


def test_the_table_says_ours_with_its_interval_what_was_published_and_the_rule(tmp_path: Path) -> None:
    text = shown(GREY, tmp_path, *(training(trial, nelbo=1.5 + trial / 1000, nll=1.36) for trial in range(3)))
    lines = text.splitlines()
    assert "1.501 [1.499, 1.503]" in lines[1]
    assert "1.391" in lines[1]
    assert "missed" in lines[1]
    assert "met" in lines[2]
    assert RULES[True][:40] in text
    assert "no batch normalisation" in text


def test_the_table_of_a_quick_version_says_that_it_is_none(tmp_path: Path) -> None:
    text = shown(GREY.quick(), tmp_path, training(0, "mnist_grey_quick", nelbo=1.5, nll=1.4))
    assert "met:" in text
    assert "missed" not in text
    assert "no figure" in text.splitlines()[1]


def test_what_is_not_measured_yet_is_a_dash(tmp_path: Path) -> None:
    assert "0 of 3" in shown(GREY, tmp_path)


def test_the_overview_has_every_figure() -> None:
    rows = overview(YARDSTICKS.values())
    assert len(rows) == sum(len(variant.figures) for each in YARDSTICKS.values() for variant in each.variants)
    assert {row["published"] for row in rows} >= {"1.391", "3.830 to 3.780", "0.0000 (within 0.01)"}
