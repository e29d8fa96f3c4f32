"""The files for Prometheus and Grafana, against what a study exports, and a study's numbers as a node shows
them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from support.commands import ROOT, script

from analysis import load_epochs
from cluster.local_cluster import LocalCluster, local_cluster
from studies.watch.prometheus import EXPORTED, SECONDS
from trainables.records.trial_folder import TrialFolder

DASHBOARD: dict[str, Any] = json.loads((ROOT / "cluster/deploy/grafana.json").read_text())
PROMETHEUS = ROOT / "cluster/deploy/prometheus.yml"
UNITS = {"short", "s", "percent", "percentunit", "bytes"}
"""Of Grafana's units, those that the dashboard needs."""
OF_NODES = {"cpu_utilization", "mem_used", "mem_total", "gpus_utilization", "gram_used"}
"""Ray's own metrics that the dashboard shows, without their ``node_``."""


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def series_of(metric: str) -> set[str]:
    """What Prometheus calls the series of one of `EXPORTED`."""
    endings = ("_bucket", "_sum", "_count") if metric.endswith("_seconds") else ("",)
    return {f"ray_{metric}{ending}" for ending in endings}


def jobs(text: str) -> list[dict[str, Any]]:
    return yaml.safe_load(text)["scrape_configs"]


def from_elsewhere() -> str:
    """prometheus.yml with the job in its comment in place of the other."""
    head, _, rest = PROMETHEUS.read_text().partition("  - job_name: ray\n")
    return head + re.sub(r"^  # ", "  ", rest[rest.index("  # - job_name") :], flags=re.M)


# grafana.json


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    assert {"title", "uid", "schemaVersion", "version", "time", "panels", "templating"} <= DASHBOARD.keys()
    assert "id" not in DASHBOARD  # its number in one Grafana's database
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", DASHBOARD["uid"])
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    for panel in everything:
        assert panel["title"]
        assert panel["type"] in {"row", "stat", "timeseries"}
    for panel in panels():
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)


def test_panels_lie_side_by_side_within_the_grid() -> None:
    cells = [
        {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        for g in (panel["gridPos"] for panel in DASHBOARD["panels"])
    ]
    assert all(cells)
    assert all(0 <= x < 24 and y >= 0 for cell in cells for x, y in cell)
    assert all(one.isdisjoint(other) for one, other in combinations(cells, 2))
    assert len(set().union(*cells)) == 24 * (1 + max(y for cell in cells for _, y in cell))  # no holes


def test_every_query_goes_to_the_chosen_prometheus_and_studies() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    study = variables["study"]
    assert study["query"]["query"] == "label_values(ray_vae_trials, study)"
    assert study["multi"]
    assert study["includeAll"]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asked = [study, *panels(), *(target for panel in panels() for target in panel["targets"])]
    assert all(place["datasource"] == chosen for place in asked)
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"])))
    assert used == variables.keys()
    for expression in expressions():
        selected = re.findall(r"ray_vae_\w+(\{[^}]*\})?", expression)
        assert all('study=~"$study"' in selector for selector in selected), expression


def test_every_metric_of_a_study_has_a_panel_and_every_panel_shows_one_that_there_is() -> None:
    shown = set(re.findall(r"\bray_\w+", " ".join(expressions())))
    known = set().union(*map(series_of, EXPORTED))
    assert {name for name in shown if name.startswith("ray_vae_")} <= known
    assert [metric for metric in EXPORTED if not series_of(metric) & shown] == []
    assert {name for name in shown if "vae" not in name} == {f"ray_node_{name}" for name in OF_NODES}
    # Ray sends a histogram's counts, and makes its sum up from the middles of the buckets
    assert not any(name.endswith("_sum") for name in shown)


def test_ray_has_the_nodes_metrics() -> None:
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    assert {f"node_{name}" for name in OF_NODES} <= METRICS_GAUGES.keys()


# prometheus.yml


def test_prometheus_finds_nodes_by_ray_s_list_or_by_the_dashboard_s() -> None:
    from ray._common.utils import get_default_ray_temp_dir
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    config = yaml.safe_load(PROMETHEUS.read_text())
    assert config["global"] == {"scrape_interval": "10s"}
    [job] = config["scrape_configs"]
    [by_file] = job.pop("file_sd_configs")
    assert job == {"job_name": "ray"}
    assert by_file["files"] == [f"{get_default_ray_temp_dir()}/{PROMETHEUS_SERVICE_DISCOVERY_FILE}"]
    assert by_file["refresh_interval"] == "10s"  # or a node that joins is not seen for minutes
    [other] = jobs(from_elsewhere())
    [by_http] = other.pop("http_sd_configs")
    assert other == job
    assert by_http["url"].startswith("http://HEAD:8265/")
    assert by_http["authorization"].keys() == {"type", "credentials_file"}
    assert by_http["authorization"]["type"] == "Bearer"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_promtool_accepts_the_file(elsewhere: bool, tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    config = from_elsewhere() if elsewhere else PROMETHEUS.read_text()
    path = tmp_path / "prometheus.yml"
    path.write_text(config.replace("/etc/prometheus/ray_token", str(tmp_path / "token")))
    checked = subprocess.run(["promtool", "check", "config", path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


# a study


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    """Its nodes show a gauge for two minutes after its last report; by default for 20 s."""
    monkeypatch.setenv("RAY_metrics_report_interval_ms", "60000")
    with local_cluster([2]) as cluster:
        monkeypatch.delenv("RAY_metrics_report_interval_ms")  # a driver reports as it would for anyone
        yield cluster


def answer(url: str, token: str | None = None) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as response:
        return response.read().decode()


def targets(cluster: LocalCluster) -> list[str]:
    """The addresses in the file that prometheus.yml names, in the head's folder, once Ray has written it."""
    [configured] = jobs(PROMETHEUS.read_text())[0]["file_sd_configs"][0]["files"]
    path = cluster.folder / "0" / Path(configured).name
    for _ in range(600):
        if path.exists() and (found := json.loads(path.read_text())[0]["targets"]):
            return found
        time.sleep(0.1)
    raise AssertionError(f"Ray must write {path}")


def scraped(addresses: list[str], study: str) -> dict[str, dict[str, float]]:
    """By series, a value a ``state`` or ``le``; "" where it has neither."""
    found: dict[str, dict[str, float]] = {}
    for address in addresses:
        try:
            text = answer(f"http://{address}/metrics")
        except urllib.error.URLError:  # of the head's other services one may have found its port taken
            continue
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith("ray_vae_") and not sample.name.endswith("_created"):
                    assert sample.labels["study"] == study
                    key = sample.labels.get("state", sample.labels.get("le", ""))
                    assert key not in found.setdefault(sample.name, {})
                    found[sample.name][key] = sample.value
    return found


@pytest.mark.slow
def test_a_node_shows_a_study_s_numbers(cluster: LocalCluster, tmp_path: Path) -> None:
    """A driver hands its last numbers over when it ends, so that nothing here depends on when one looks."""
    out = tmp_path / "study"
    done = script(
        ROOT / "studies" / "digits_vae.py",
        "--address",
        cluster.address,
        "--trials",
        "3",
        "--epochs",
        "2",
        "--limit-train",
        "200",
        "--limit-val",
        "50",
        "--final-epochs",
        "0",
        "--no-report",
        "--out",
        out,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    addresses = targets(cluster)
    found = scraped(addresses, "digits_vae")

    assert found.keys() == set().union(*map(series_of, EXPORTED))
    trials = optuna.load_study(study_name="digits_vae", storage=f"sqlite:///{out}/study.db").trials
    states = [trial.state.name.lower() for trial in trials]
    count = {state: states.count(state) for state in ("complete", "pruned")}
    assert sum(count.values()) == 3
    assert found["ray_vae_trials"] == {**count, "failed": 0, "running": 0}
    best = load_epochs(out)["val_bits_per_dim"].min()
    assert found["ray_vae_best_bits_per_dim"] == {"": pytest.approx(best)}
    assert found["ray_vae_images_per_second"] == {"": 0}

    rows = [row for place in (out / "trials").iterdir() for row in TrialFolder(place).rows()]
    assert rows
    cpu_seconds = sum(row["cpu_seconds"] for row in rows)
    assert cpu_seconds > 0
    assert found["ray_vae_cpu_hours"] == {"": pytest.approx(cpu_seconds / 3600)}
    assert found["ray_vae_gpu_hours"] == {"": pytest.approx(sum(row["gpu_seconds"] for row in rows) / 3600)}
    took = {f"{end:.1f}": sum(row["epoch_seconds"] <= end for row in rows) for end in SECONDS}
    assert found["ray_vae_epoch_seconds_bucket"] == took | {"+Inf": len(rows)}
    assert found["ray_vae_epoch_seconds_count"] == {"": len(rows)}
    assert found["ray_vae_queue_seconds_count"] == {"": 3}

    token = (Path.home() / ".ray" / "auth_token").read_text()
    listed = jobs(from_elsewhere())[0]["http_sd_configs"][0]["url"].replace("HEAD:8265", cluster.dashboard)
    assert json.loads(answer(listed, token))[0]["targets"] == addresses
    with pytest.raises(urllib.error.HTTPError, match="401"):
        answer(listed)
