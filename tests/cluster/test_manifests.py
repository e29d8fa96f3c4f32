"""The files that start Ray elsewhere, against Ray's own schema, KubeRay's, and a Slurm of stubs."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray._private.runtime_env.packaging import get_excludes_from_ignore_files
from ray.autoscaler._private.util import prepare_config, validate_config
from support.commands import ROOT, script

CLUSTER = ROOT / "cluster" / "deploy"
RAY_UP = [CLUSTER / "aws.yaml", CLUSTER / "onpremise.yaml"]
KUBERAY = sorted((CLUSTER / "kuberay").glob("*.yaml"))
EVERY = [*RAY_UP, *KUBERAY, CLUSTER / "slurm.sh", CLUSTER / "Dockerfile"]
LEFT_OUT = [".git", ".venv", "data", "models", "runs", "visu"]
EPHEMERAL_PORTS = 32768
"""The first that Linux gives away by itself, unless told otherwise."""

each = pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.name)


# Ray's command line imports its Serve, which uses what Pydantic will drop
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")


def known_to(command: str) -> set[str]:
    """The options of one of Ray's commands."""
    from ray.scripts.scripts import cli

    return {name for parameter in cli.commands[command].params for name in parameter.opts}


def options(arguments: list[str]) -> set[str]:
    return {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}


def documents() -> dict[str, dict[str, Any]]:
    return {d["kind"]: d for path in KUBERAY for d in yaml.safe_load_all(path.read_text())}


def groups(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


# ray up


@each
def test_ray_up_accepts_the_file(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    validate_config(prepare_config(config))
    workers = [kind for kind in prepare_config(config)["available_node_types"].values() if kind["max_workers"]]
    assert all(1 <= kind["min_workers"] <= kind["max_workers"] for kind in workers)


@each
def test_what_ray_up_runs_is_shell_and_ray_knows_its_options(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    commands = [c for key, value in config.items() if key.endswith("_commands") for c in value]
    for command in commands:
        assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0, command
    starts = [command for command in commands if "ray start" in command]
    assert len(starts) == 2
    for command in starts:
        assert options(command.partition("ray start")[2].split()) <= known_to("start")


@each
def test_ray_up_asks_for_the_token_and_keeps_it_and_the_dashboard_close(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    head, workers = config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]
    assert all("RAY_AUTH_MODE=token ray start" in command for command in (head, workers))
    assert "--dashboard-host=127.0.0.1" in head.split()
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in config["setup_commands"][0]


@each
def test_ray_up_copies_the_project_without_its_data(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    assert config["file_mounts"]["~/vae-studies"] == "."
    assert {f"/{name}" for name in LEFT_OUT} <= set(config["rsync_exclude"])
    locked, project = (
        [i for i, command in enumerate(config["setup_commands"]) if f"pip install -q {how}" in command]
        for how in ("--require-hashes -r requirements/user.lock", "--no-deps --no-build-isolation .")
    )
    assert locked < project  # one of each, in this order
    assert len(locked) == len(project) == 1


# KubeRay


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_kuberay_knows_every_field(path: Path) -> None:
    schema = json.loads((ROOT / "tests" / "cluster" / "kuberay_schema.json").read_text())
    for document in yaml.safe_load_all(path.read_text()):
        jsonschema.validate(document, schema | {"$ref": f"#/$defs/{document['kind']}"})


def test_the_job_brings_the_cluster_that_stays() -> None:
    found = documents()
    cluster = found["RayCluster"]["spec"]
    assert found["RayJob"]["spec"]["rayClusterSpec"] == cluster
    assert cluster["rayVersion"] == ray.__version__
    assert all(g["minReplicas"] <= g["replicas"] <= g["maxReplicas"] for g in cluster["workerGroupSpecs"])


def test_kuberay_asks_for_the_token_and_nothing_leads_in_from_outside() -> None:
    found = documents()
    cluster = found["RayCluster"]["spec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert not cluster["headGroupSpec"].get("enableIngress")
    assert set(found) == {"NetworkPolicy", "PersistentVolumeClaim", "RayCluster", "RayJob"}


def test_the_network_policy_guards_every_pod_of_a_study_that_trusts_the_network() -> None:
    found = documents()
    policy = found["NetworkPolicy"]["spec"]
    guarded = policy["podSelector"]["matchLabels"]
    assert "--trusted-network" in found["RayJob"]["spec"]["entrypoint"].split()
    for group in groups(found["RayCluster"]["spec"]):
        assert guarded.items() <= group["template"]["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress"]
    for rule in policy["ingress"]:
        for peer in rule["from"]:
            itself = peer == {"podSelector": {"matchLabels": guarded}}
            named = peer.get("namespaceSelector", {}).get("matchLabels") and rule.get("ports")
            assert itself or named, peer


def test_pods_are_nobody_in_particular_and_share_a_folder() -> None:
    found = documents()
    claim = found["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for group in groups(found["RayCluster"]["spec"]):
        pod = group["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] > 0
        volumes = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert {"name": "RAY_TRAIN_ENABLE_STATE_TRACKING", "value": "1"} in container["env"]
            (mount,) = container["volumeMounts"]
            assert (volumes[mount["name"]], mount["mountPath"]) == (claim["metadata"]["name"], "/shared")
            assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
            scraped = int(group["template"]["metadata"]["annotations"]["prometheus.io/port"])
            assert {"name": "metrics", "containerPort": scraped} in container["ports"]


def test_the_study_knows_the_options_that_the_files_give_it() -> None:
    words = documents()["RayJob"]["spec"]["entrypoint"].split()
    assert words[0] == "python"
    help_ = script(words[1].removeprefix("/app/"), "--help", cwd=ROOT).stdout
    assert options(words) <= set(re.findall(r"--[\w-]+", help_))
    assert [words[i + 1] for i, word in enumerate(words) if word in ("--out", "--data-dir")] == [
        "/shared/runs/cifar_vae",
        "/shared/data",
    ]


# Slurm

STUBS = {
    "bin/srun": 'while [[ $1 == --* ]]; do shift; done\nexec "$@"',
    ".venv/bin/ray": """
        case $1 in
        get-auth-token)
            umask > "$CALLS/umask"
            mkdir -p ~/.ray && touch ~/.ray/auth_token ;;
        symmetric-run)
            printf '%s\\n' "$@" > "$CALLS/ray" && env > "$CALLS/environment"
            if [[ $RAY_STARTS == no ]]; then exit 0; fi
            while [[ $1 != -- ]]; do shift; done
            shift && exec "$@" ;;
        *) exit 1 ;;
        esac""",
    ".venv/bin/python": 'printf "%s\\n" "$@" > "$CALLS/study"\nexit "$STUDY_CODE"',
}


class Slurm:
    """Runs cluster/slurm.sh as a job of two nodes, between stubs that write down what they are told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, body in STUBS.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#!/usr/bin/env bash\n{body}\n")
            path.chmod(0o755)
        for name in ("home", "calls"):
            (folder / name).mkdir()

    def run(self, job: int, study_code: int = 0, ray_starts: str = "yes", restarts: int = 0) -> int:
        environment = {
            "HOME": str(self.folder / "home"),
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "CALLS": str(self.folder / "calls"),
            "RAY_TMPDIR": str(self.folder),
            "STUDY_CODE": str(study_code),
            "RAY_STARTS": ray_starts,
            "SLURM_SUBMIT_DIR": str(self.folder),
            "SLURM_JOB_ID": str(job),
            "SLURMD_NODENAME": "n001",
            "SLURM_RESTART_COUNT": str(restarts),
            "SLURM_CPUS_PER_TASK": "16",
            "SLURM_JOB_NUM_NODES": "2",
        }
        command = ["bash", str(CLUSTER / "slurm.sh"), "studies/x.py", "--out", "a b"]
        return subprocess.run(command, env=environment, timeout=60, check=False).returncode

    def told(self, whom: str) -> list[str]:
        return (self.folder / "calls" / whom).read_text().splitlines()

    def ports(self) -> list[int]:
        """Every port that the last job told Ray, those for workers one by one."""
        arguments = dict(a.split("=", 1) for a in self.told("ray") if a.startswith("--") and "=" in a)
        workers = [int(arguments.pop(f"--{end}-worker-port")) for end in ("min", "max")]
        named = [int(value) for name, value in arguments.items() if name.endswith("-port")]
        environment = dict(line.split("=", 1) for line in self.told("environment") if "=" in line)
        named += [int(value) for name, value in environment.items() if name.endswith("_METRIC_PORT")]
        gcs = int(environment["RAY_ADDRESS"].rpartition(":")[2])
        return [gcs, *named, *range(workers[0], workers[1] + 1)]


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    return Slurm(tmp_path)


def test_slurm_jobs_of_near_ids_share_no_port(slurm: Slurm) -> None:
    all_ports = []
    for job in (559, 560, 561, 614):
        assert slurm.run(job) == 0
        ports = slurm.ports()
        assert len(set(ports)) == len(ports) > 200  # hundreds of workers find a port
        assert min(ports) >= 1024
        assert max(ports) < EPHEMERAL_PORTS
        all_ports.append(set(ports))
    assert all(one.isdisjoint(other) for one, other in combinations(all_ports, 2))
    ports_of_a_node = {name for name in known_to("start") if name.endswith("-port")}
    told = options(slurm.told("ray"))
    assert ports_of_a_node - told == {"--port"}, "symmetric-run takes it from --address"


def test_slurm_passes_what_ray_knows_and_the_study_its_arguments(slurm: Slurm) -> None:
    assert slurm.run(7) == 0
    told = slurm.told("ray")
    split = told.index("--")
    assert options(told[:split]) <= known_to("start") | known_to("symmetric-run")
    assert options(told[:split]).isdisjoint({"--head", "--node-ip-address", "--port", "--block"})
    assert "--dashboard-host=127.0.0.1" in told
    environment = slurm.told("environment")
    assert "RAY_AUTH_MODE=token" in environment
    assert f"RAY_ADDRESS={told[told.index('--address') + 1]}" in environment
    assert told[told.index("--min-nodes") + 1] == "2"
    expected = ["studies/x.py", "--out", "a b", "--address", "auto", "--trusted-network"]
    assert slurm.told("study") == expected


def test_slurm_keeps_the_token_to_its_owner_and_leaves_nothing(slurm: Slurm) -> None:
    token = slurm.folder / "home" / ".ray" / "auth_token"
    token.parent.mkdir()
    token.touch(0o644)  # one that was made without care
    assert slurm.run(7) == 0
    assert slurm.told("umask") == ["0077"]
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert list(token.parent.iterdir()) == [token]
    assert not (slurm.folder / "ray-7-0").exists()


def test_slurm_tells_a_study_that_failed_and_one_that_never_ran(slurm: Slurm) -> None:
    assert slurm.run(7, study_code=3) == 3
    assert slurm.run(8, ray_starts="no") == 1
    assert (slurm.folder / "ray-8-0").is_dir()
    assert slurm.run(8) != 0  # a folder that is there already may be anybody's
    (slurm.folder / "home" / ".ray" / "began-8").touch()  # as a node that died leaves it
    assert slurm.run(8, ray_starts="no", restarts=1) == 1
    assert slurm.run(8, restarts=2) == 0


def test_slurm_script_is_clean_shell() -> None:
    path = CLUSTER / "slurm.sh"
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    directives = [line for line in path.read_text().splitlines() if line.startswith("#SBATCH")]
    assert "#SBATCH --exclusive" in directives  # symmetric-run ends every Ray of the user on the node
    assert "#SBATCH --ntasks-per-node=1" in directives
    if shutil.which("shellcheck"):
        assert subprocess.run(["shellcheck", path], check=False).returncode == 0


# Images and packages


def test_the_image_is_made_of_what_is_there_and_is_not_root() -> None:
    lines = [line.split() for line in (CLUSTER / "Dockerfile").read_text().splitlines() if line.strip()]
    copied = {source for words in lines if words[0] == "COPY" for source in words[1:-1]}
    assert all((ROOT / source).exists() for source in copied)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages | {"main.py", "pyproject.toml", "requirements/user.lock", "README.md", "LICENSE"} <= copied
    assert not copied & set(LEFT_OUT)
    installs = [" ".join(words[1:]) for words in lines if words[:3] == ["RUN", "pip", "install"]]
    assert installs == [
        "pip install --no-cache-dir --require-hashes -r requirements/user.lock",
        "pip install --no-cache-dir --no-deps --no-build-isolation .",
    ]
    instruction, user = lines[-1]
    assert instruction == "USER"
    contexts = [group["template"]["spec"] for group in groups(documents()["RayCluster"]["spec"])]
    assert {int(user)} == {pod["securityContext"]["runAsUser"] for pod in contexts}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert set(LEFT_OUT) <= set(ignored)


def test_ray_job_submit_ships_the_code_alone() -> None:
    excluded = get_excludes_from_ignore_files(ROOT, include_gitignore=False)

    def shipped(name: str) -> bool:
        return not any(rule(ROOT / name) for rule in excluded)

    assert not [name for name in LEFT_OUT if shipped(f"{name}/x")]
    assert not shipped("studies/__pycache__/cli.pyc")
    packages = [*ROOT.glob("*/__init__.py"), *ROOT.glob("studies/*.py"), *ROOT.glob("analysis/templates/*")]
    assert [str(p) for p in packages if not shipped(str(p.relative_to(ROOT)))] == []


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.name)
def test_no_secret_is_written_down(path: Path) -> None:
    secret = r"[0-9a-f]{32}|AKIA[0-9A-Z]{12}|-----BEGIN|RAY_AUTH_TOKEN=|\bami-[0-9a-f]{8}|\bsg-[0-9a-f]{8}"
    assert re.findall(secret, path.read_text()) == []
