"""Secure by default: who has no token gets nothing, nobody can listen, and secrets are written nowhere."""

from __future__ import annotations

import errno
import http.client
import importlib
import json
import os
import pkgutil
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import ray.core.generated
import ray.dashboard
from optuna.distributions import FloatDistribution
from ray._private.authentication.authentication_constants import AUTHENTICATION_TOKEN_COOKIE_NAME
from support.commands import ROOT, script

from cluster.access import check_address, ensure_token
from cluster.local_cluster import LocalCluster, descendants, local_cluster
from studies.record.study_folder import StudyFolder
from studies.study import Study
from trainables.config import TrialConfig
from trainables.errors import UserError

STUDY = (
    ROOT / "studies/digits_vae.py",
    "--set",
    "model.width=4",
    "--trials",
    "2",
    "--epochs",
    "1",
    "--limit-train",
    "100",
    "--limit-val",
    "50",
    "--final-epochs",
    "0",
    "--seeds",
    "0",
    "--max-concurrent",
    "1",
    "--no-report",
)
WRONG = "0123456789abcdef" * 4
ELSEWHERE = "198.51.100.7"
"""An address for documentation, which is no machine's."""
REFUSED = re.compile(r"Unauthorized: Missing authentication token|Forbidden: Invalid authentication token")

PUBLIC = {
    "/": "the page that asks for the token: Ray's own, the same for every cluster",
    "/favicon.ico": "Ray's logo",
    "/api/authentication_mode": "that this cluster asks for a token",
    "/api/gcs_healthz": "whether the head is alive",
}
"""Routes of the dashboard that answer anyone, and what they give away. So do Ray's own files in /static/."""
PUBLIC_OF_AGENTS = {
    "/api/healthz": "whether the node and the head are alive",
    "/api/local_raylet_healthz": "whether the node is alive",
}
NOT_IN_PYTHON = ["/ray.rpc.ObjectManagerService/Push", "/ray.rpc.ObjectManagerService/Pull"]
"""Methods of a service whose description does not come with Ray's Python package."""

DRIVER = """
import sys, ray
from cluster.connect import connected

class Held:
    def ping(self):
        return "joined"

with connected(sys.argv[1]):
    actor = ray.remote(num_cpus=0)(Held).remote()
    print(ray.get(actor.ping.remote()), flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    @property
    def refused(self) -> bool:
        return self.status in (401, 403) and REFUSED.fullmatch(self.text) is not None


def ask(
    address: str, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, timeout: float = 30
) -> Answer:
    """Send one request, the path as it is. Raises: OSError, http.client.HTTPException."""
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode(errors="replace"))
    finally:
        connection.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def until(ready: Callable[[], Any], seconds: float = 60) -> Any:
    """What ``ready`` returns once that is true."""
    began = time.monotonic()
    while not (found := ready()):
        assert time.monotonic() - began < seconds
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class Listener:
    ip: str
    port: int
    process: str

    @property
    def address(self) -> str:
        """Where to reach it from here."""
        ip = self.ip.removeprefix("::ffff:")
        return f"{'127.0.0.1' if ip in ('::', '0.0.0.0') else ip}:{self.port}"


def listeners(pids: Sequence[int]) -> set[Listener]:
    """The TCP sockets on which the processes below ``pids`` wait."""
    names = {}
    for process in (process for pid in pids for process in descendants(pid)):
        with suppress(psutil.Error):
            names[process.pid] = process.name()
    return {
        Listener(found.laddr.ip, found.laddr.port, names[found.pid])
        for found in psutil.net_connections("tcp")
        if found.status == psutil.CONN_LISTEN and found.pid in names
    }


def is_http(listener: Listener) -> bool:
    """Whether it speaks HTTP; else it is a server of gRPC."""
    try:
        ask(listener.address, "/")
    except http.client.HTTPException:
        return False
    return True


def is_numbers(listener: Listener) -> bool:
    """Whether it tells numbers for Prometheus, and nothing else, to everyone."""
    told = [ask(listener.address, path) for path in ("/", "/metrics", "/api/jobs/")]
    return all(answer.status == 200 and answer.text.startswith("# HELP ") for answer in told)


def commands(pids: Sequence[int]) -> set[str]:
    """The command lines of the processes below ``pids``, as `ps` shows them to everyone."""
    found = set()
    for process in (process for pid in pids for process in descendants(pid)):
        with suppress(psutil.Error):
            found.add(" ".join(process.cmdline()))
    return found


def session_of(lines: set[str]) -> Path | None:
    """The folder of Ray's session, from the command line of its head."""
    found = [match for line in lines if (match := re.search(r"gcs_server .*--log_dir=(\S+)/logs", line))]
    return Path(found[0][1]) if found else None


def holding(folder: Path, secret: str) -> list[Path]:
    """The files below ``folder`` with ``secret`` in them; some may go meanwhile."""
    found = []
    for place, _, names in os.walk(folder):  # which passes over a folder that is gone
        for path in (Path(place, name) for name in names):
            with suppress(FileNotFoundError):
                if path.is_file() and secret.encode() in path.read_bytes():
                    found.append(path)
    return found


@dataclass
class Running:
    """A cluster of two nodes whose token is in ``home``, a driver that has it, and some that do not."""

    cluster: LocalCluster
    home: Path
    driver: subprocess.Popen[str]
    strangers: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def token(self) -> str:
        return (self.home / ".ray/auth_token").read_text()

    @property
    def pids(self) -> list[int]:
        return [*(node.pid for node in self.cluster.nodes), self.driver.pid]

    @property
    def session(self) -> Path:
        found = session_of(commands(self.pids))
        assert found is not None
        return found

    def log(self, name: str) -> list[str]:
        """Lines of a log of Ray's that says which HTTP routes it serves, once it has said so."""
        path = self.session / "logs" / name
        until(lambda: path.exists() and re.search(r"Registered \d+ routes", path.read_text()))
        return path.read_text().splitlines()


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USE_TLS"):
            patch.delenv(name, raising=False)
        yield patch


def start(*command: str | Path, home: Path, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=os.environ | {"HOME": str(home)} | environment,
    )


@pytest.fixture(scope="module")
def running(patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home, empty, other = (tmp_path_factory.mktemp(name) for name in ("home", "empty", "other"))
    (other / ".ray").mkdir()
    (other / ".ray/auth_token").write_text(WRONG)
    patch.setenv("HOME", str(home))
    with local_cluster([1, 1]) as cluster:
        driver = start("-c", DRIVER, cluster.address, home=home, cwd=home)
        running = Running(cluster, home, driver)
        for name, place in (("none", empty), ("wrong", other)):
            study = (*STUDY, "--out", "s", "--address", cluster.address)
            running.strangers[name] = start(*study, home=place, cwd=place)
        assert driver.stdout is not None
        assert driver.stdout.readline() == "joined\n"  # who has the token is let in
        try:
            yield running
        finally:
            for process in (driver, *running.strangers.values()):
                process.kill()
                process.communicate()


# Requests over HTTP


def routes(log: Sequence[str]) -> list[tuple[str, str]]:
    """Method and path of every route that a server of Ray's said at its start to have; parameters are 0."""
    found = [match for line in log if (match := re.search(r"<ResourceRoute \[(\S+)\] <\w+ +(\S+?)[> ]", line))]
    said = [match[1] for line in log if (match := re.search(r"Registered (\d+) routes", line))]
    assert len(found) == sum(map(int, said))
    asked = sorted({(match[1], re.sub(r"\{[^}]*\}", "0", match[2])) for match in found})
    return asked + [("HEAD", path) for method, path in asked if method == "GET"]


def let_in(address: str, asked: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> set[tuple[str, str]]:
    """Those of the requests that are not refused."""

    def passes(request: tuple[str, str]) -> bool:
        method, path = request
        try:
            answer = ask(address, path, method, headers)
        except TimeoutError:  # a stream that stays open
            return True
        return answer.status not in (401, 403) if method == "HEAD" else not answer.refused

    with ThreadPoolExecutor(4) as pool:
        return {request for request, passed in zip(asked, pool.map(passes, asked), strict=True) if passed}


@pytest.mark.slow
def test_every_route_of_the_dashboard_asks_for_the_token(running: Running) -> None:
    address, asked = running.cluster.dashboard, routes(running.log("dashboard.log"))
    assert len(asked) > 60
    assert ("POST", "/api/jobs/") in asked  # which runs what it is sent
    public = {(method, path) for method, path in asked if path in PUBLIC}
    assert {path for _, path in public} == set(PUBLIC)
    assert let_in(address, asked, {}) == public
    assert let_in(address, asked, bearer(WRONG)) == public
    heads = {request for request in asked if request[0] == "HEAD"}
    assert let_in(address, [r for r in asked if r not in heads], bearer(running.token)) == set(asked) - heads


@pytest.mark.slow
def test_every_route_of_the_nodes_agents_asks_for_the_token(running: Running) -> None:
    asked = routes(running.log("dashboard_agent.log"))
    assert ("POST", "/api/job_agent/jobs/") in asked  # which runs what it is sent
    public = {(method, path) for method, path in asked if path in PUBLIC_OF_AGENTS}
    assert {path for _, path in public} == set(PUBLIC_OF_AGENTS)
    agents = [found for found in listeners(running.pids) if "DashboardAgent" in found.process]
    served = {found.address: found.port for found in agents if is_http(found) and not is_numbers(found)}
    assert len(set(served.values())) == len(running.cluster.nodes)
    for address in served:
        # a browser's question what it may ask of a public route tells nothing either
        assert let_in(address, asked, {}) == let_in(address, asked, bearer(WRONG)) == public
        assert ask(address, "/logs/", headers=bearer(running.token)).status == 200


@pytest.mark.slow
def test_what_the_dashboard_tells_anyone_is_not_about_this_cluster(running: Running) -> None:
    build = Path(ray.dashboard.__file__).parent / "client/build"
    address = running.cluster.dashboard
    page = ask(address, "/").text
    assert page == (build / "index.html").read_text()
    assert json.loads(ask(address, "/api/authentication_mode").text) == {"authentication_mode": "token"}
    assert ask(address, "/api/gcs_healthz").text == "success"
    files = re.findall(r'"\./(static/[^"]+)"', page)
    assert files
    for name in files:
        assert ask(address, f"/{name}").text == (build / name).read_text(errors="replace"), name


@pytest.mark.slow
def test_no_other_way_leads_around_the_token(running: Running) -> None:
    address, token = running.cluster.dashboard, running.token
    secret = "/api/v0/nodes"
    carriers: list[Callable[[str], dict[str, str]]] = [
        bearer,
        lambda text: {"X-Ray-Authorization": f"Bearer {text}"},
        lambda text: {"Cookie": f"{AUTHENTICATION_TOKEN_COOKIE_NAME}={text}"},
    ]
    for carried in carriers:
        assert ask(address, secret, headers=carried(token)).status == 200
        for almost in ("", "*", token[:-1], token + "0", token.swapcase(), f"{token},{token}"):
            assert ask(address, secret, headers=carried(almost)).refused, (carried(almost), token)
    for path in (
        "/static/..{}",
        "/static/%2e%2e{}",
        "/static/..%2f..{}",
        "/static/../static/..{}",
        "/{}",
        "/.{}",
        "{}/",
        "{}?token=" + token,
        "/favicon.ico/..{}",
        "/favicon.ico;{}",
        "/static//{}",
        "http://x/static/..{}",
    ):
        answer = ask(address, path.format(secret))
        assert answer.status in (400, 401, 403, 404), path
        assert "node_id" not in answer.text, path


# Sockets


@pytest.mark.slow
def test_the_dashboard_listens_on_this_machine_alone(running: Running) -> None:
    port = int(running.cluster.dashboard.rpartition(":")[2])
    assert {found.ip for found in listeners(running.pids) if found.port == port} == {"127.0.0.1"}


def calls() -> list[tuple[str, bool, bool]]:
    """Every method of every service that Ray's package describes, and whether it takes and gives streams."""
    found = {(name, False, False) for name in NOT_IN_PYTHON}
    for module in pkgutil.iter_modules(ray.core.generated.__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"ray.core.generated.{module.name}").DESCRIPTOR
            for service in file.services_by_name.values():
                found |= {
                    (f"/{service.full_name}/{method.name}", method.client_streaming, method.server_streaming)
                    for method in service.methods
                }
    return sorted(found)


def codes(address: str, methods: Sequence[tuple[str, bool, bool]], token: str | None) -> dict[str, str]:
    """How a gRPC server answers an empty message to each of ``methods``."""
    found = {}
    metadata = None if token is None else (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(address) as channel:
        for path, takes_stream, gives_stream in methods:
            kind = f"{'stream' if takes_stream else 'unary'}_{'stream' if gives_stream else 'unary'}"
            call = getattr(channel, kind)(path)
            try:
                reply = call(iter([b""]) if takes_stream else b"", timeout=20, metadata=metadata)
                if gives_stream:
                    next(reply, None)
                found[path] = "OK"
            except grpc.RpcError as error:
                found[path] = error.code().name
    return found


@pytest.mark.slow
def test_whatever_listens_asks_for_the_token(running: Running) -> None:
    """But for the numbers for Prometheus: how busy nodes and processes of which names are."""
    methods = calls()
    assert len(methods) > 100
    dashboard = int(running.cluster.dashboard.rpartition(":")[2])
    kinds = set()
    for listener in listeners(running.pids):
        if not is_http(listener):
            for token in (None, WRONG):
                got = codes(listener.address, methods, token)
                if listener in listeners(running.pids):  # a worker may have ended meanwhile
                    told = {path: code for path, code in got.items() if code != "UNIMPLEMENTED"}
                    assert set(told.values()) == {"UNAUTHENTICATED"}, (listener, told)
                    kinds |= {path.split("/")[1].rpartition(".")[2] for path in told}
        elif is_numbers(listener):
            assert running.token not in ask(listener.address, "/").text
        elif listener.port != dashboard:
            assert ask(listener.address, "/").refused, listener
    services = {"JobInfoGcsService", "NodeManagerService", "ObjectManagerService", "CoreWorkerService", "LogService"}
    assert services <= kinds
    nodes = [("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo", False, False)]
    assert set(codes(running.cluster.address, nodes, running.token).values()) == {"OK"}


# Ray gives its folder to everyone: who may write there can take a socket's place, and is sent the token
@pytest.mark.slow
def test_no_other_user_of_the_machine_reaches_what_ray_writes(running: Running) -> None:
    for place in (running.session / "sockets", running.session / "logs"):
        assert not is_open(place), place


def is_open(place: Path) -> bool:
    """Whether every user of the machine may go there and write."""
    enter = all(parent.stat().st_mode & stat.S_IXOTH for parent in (place, *place.parents))
    return enter and bool(place.stat().st_mode & stat.S_IWOTH)


# The token's file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o477], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def watched(file: Path, run: Callable[[], None]) -> list[tuple[int, str]]:
    """Mode and content of ``file`` at every call and return of a function while ``run`` runs."""
    seen = []

    def look(*_: object) -> None:
        with suppress(FileNotFoundError):
            mode = stat.S_IMODE(file.stat().st_mode)
            seen.append((mode, file.read_text() if mode & stat.S_IRUSR else ""))

    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(None)
    look()
    return seen


def test_the_token_is_its_owners_alone_from_its_first_moment(home: Path, umask: int) -> None:
    seen = watched(home / ".ray/auth_token", ensure_token)
    assert [oct(mode) for mode, _ in seen if mode & 0o077] == []
    mode, token = seen[-1]
    assert mode == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}", token)  # 256 bits


def test_every_token_is_another(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for name in "abc":
        (home / name).mkdir()
        monkeypatch.setenv("HOME", str(home / name))
        ensure_token()
        found.add((home / name / ".ray/auth_token").read_text())
    assert len(found) == 3


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_a_token_that_others_can_read_is_put_right_and_kept(home: Path, mode: int) -> None:
    file = home / ".ray/auth_token"
    file.parent.mkdir()
    file.write_text(WRONG)
    file.chmod(mode)
    ensure_token()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == WRONG


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_from_elsewhere_is_not_written_down(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, WRONG)
    ensure_token()
    assert list(home.iterdir()) == []


@pytest.mark.slow
def test_processes_that_start_at_once_agree_on_one_token(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cluster.access import ensure_token\n"
        "print(flush=True); sys.stdin.readline(); ensure_token()\n"
        "print((Path.home() / '.ray/auth_token').read_text())"
    )
    racers = [start("-c", code, home=home, cwd=home) for _ in range(2)]
    for racer in racers:
        assert racer.stdout is not None
        racer.stdout.readline()
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    assert {racer.communicate(timeout=60)[0].strip() for racer in racers} == {(home / ".ray/auth_token").read_text()}


@pytest.mark.slow
def test_a_cluster_that_is_asked_for_by_name_has_its_token_kept_as_well(home: Path, patch: pytest.MonkeyPatch) -> None:
    code = "from cluster.connect import connected\nwith connected('local'): print('joined')"
    before = os.umask(0o022)
    done = script("-c", code, cwd=home)
    os.umask(before)
    if done.stdout != "joined\n":
        raise RuntimeError(done.stderr)
    assert stat.S_IMODE((home / ".ray/auth_token").stat().st_mode) == 0o600


def test_who_finds_the_tokens_file_finds_a_whole_token(home: Path) -> None:
    """Or a process that starts meanwhile reads an empty one, and so does everyone after a crash."""
    seen = watched(home / ".ray/auth_token", ensure_token)
    assert {len(token) for _, token in seen} == {64}


# What is written down, printed and shown


@pytest.mark.slow
def test_a_study_keeps_its_token_and_its_secrets_to_itself(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Started as ever, with a cluster of its own; seen while it runs and when it has ended."""
    home = tmp_path / "home"
    home.mkdir()
    out, errors = tmp_path / "out.txt", tmp_path / "errors.txt"
    with out.open("w") as output, errors.open("w") as complaints:
        study = subprocess.Popen(
            [sys.executable, *map(str, STUDY), "--out", "s"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            cwd=tmp_path,
            env=os.environ | {"HOME": str(home)},
        )
    shown: set[str] = set()
    unasked, ips = None, set()
    file, written = home / ".ray/auth_token", set()
    while study.poll() is None:
        shown |= commands([study.pid])
        if unasked is not None and (session := session_of(shown)):
            written |= set(holding(session, file.read_text()))
        if unasked is None and (found := re.search(r"Ray dashboard: http://(\S+:(\d+))", out.read_text())):
            unasked = ask(found[1], "/api/v0/nodes")
            ips = {found_.ip for found_ in listeners([study.pid]) if found_.port == int(found[2])}
        time.sleep(0.1)
    printed = out.read_text() + errors.read_text()
    assert study.returncode == 0, printed
    assert unasked is not None
    assert unasked.refused
    assert ips == {"127.0.0.1"}

    token, session = file.read_text(), session_of(shown)
    assert session is not None
    assert not session.exists()
    assert holding(home, token) == [file]  # so that a search does find what is there
    assert holding(tmp_path / "s", token) == []
    assert written == set()
    assert token not in printed
    assert [line for line in shown if token in line] == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:geheim@127.0.0.1:1/x",
        "postgresql://:geheim@127.0.0.1:1/x",
        "postgresql+psycopg2://u:a/geheim:b@127.0.0.1:1/x?sslmode=require",
        "mysql://u:geheim%40x@127.0.0.1:1/x",
        "postgresql://u@server:geheim@127.0.0.1:1/x",
        "postgresql://u:so geheim@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?user=u&password=geheim",
    ],
)
@pytest.mark.parametrize("form", ["--storage {}", "--storage={}"])
def test_a_databases_password_is_not_in_the_studys_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, form: str
) -> None:
    option, _, rest = form.partition(" ")
    arguments = [option, rest.format(url)] if rest else [form.format(url)]
    monkeypatch.setattr(sys, "argv", ["digits_vae.py", *arguments])
    study = Study(name="s", base=TrialConfig(dataset="digits"), space={"beta": FloatDistribution(0.1, 10)}, trials=1)
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    folder.claim(study, url)
    assert folder.storage() == url  # this process knows it
    assert "--storage" in json.loads(folder.layout.question.read_text())["command"]
    assert holding(folder.path, "geheim") == []


@pytest.mark.slow
def test_an_error_of_a_database_does_not_tell_its_password(tmp_path: Path) -> None:
    url = "postgresql://u:geheim@127.0.0.1:1/x"
    done = script(*STUDY, "--out", "s", "--storage", url, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "storage cannot be opened" in done.stderr
    assert "geheim" not in done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    assert holding(tmp_path, "geheim") == []


# Other machines


def test_what_others_could_read_is_not_sent_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the address is let through, nobody answers."""

    def refused(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    monkeypatch.setattr("cluster.access.socket.create_connection", refused)
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    address = f"{ELSEWHERE}:9"
    with pytest.raises(UserError, match=r"must be reached by TLS \(RAY_USE_TLS=1\), got .*\n--trusted-network"):
        check_address(address)
    with pytest.raises(UserError, match="no Ray cluster answers"):
        check_address(address, trusted_network=True)
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with pytest.raises(UserError, match="no Ray cluster answers"):
        check_address(address)
    monkeypatch.setenv("RAY_USE_TLS", "0")
    with pytest.raises(UserError, match="must be reached by TLS"):
        check_address(address)


def test_auto_is_no_way_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", f"{ELSEWHERE}:9")
    with pytest.raises(UserError, match="must be reached by TLS"):
        check_address("auto")


def test_this_machine_is_no_other_one() -> None:
    """By its own address or name as by the loopback's: nobody listens there, but that is all."""
    addresses = [a.address for each in psutil.net_if_addrs().values() for a in each if a.family == 2]
    for host in ("localhost", "127.0.0.1", *addresses):
        with pytest.raises(UserError, match="no Ray cluster answers"):
            check_address(f"{host}:9")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "environment"), [(["--address", f"{ELSEWHERE}:6379"], {}), ([], {"RAY_ADDRESS": f"{ELSEWHERE}:6379"})]
)
def test_a_study_refuses_another_machine_before_it_sends_a_word(
    patch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], environment: dict[str, str]
) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text(WRONG)
    done = start(*STUDY, "--out", "s", *arguments, home=tmp_path, cwd=tmp_path, **environment)
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 2
    said = "--address" if arguments else "RAY_ADDRESS"
    assert errors.startswith(
        f"error: a cluster on another machine must be reached by TLS (RAY_USE_TLS=1), got {said} {ELSEWHERE}:6379\n"
    )
    assert len(errors.strip().splitlines()) == 2
    assert not (tmp_path / "s").exists()


# Who is let in


@pytest.mark.slow
@pytest.mark.parametrize("token", ["none", "wrong"])
def test_a_driver_without_the_token_does_not_join(running: Running, token: str) -> None:
    stranger = running.strangers[token]
    output, errors = stranger.communicate(timeout=120)
    assert stranger.returncode == 2, output + errors  # nothing was begun
    assert "Ray dashboard" not in output
    assert "Traceback" not in output + errors
    what, hint = errors.strip().splitlines()[-2:]
    assert what.startswith("error: ")
    assert running.cluster.address in what
    assert "token" in what + hint
    assert running.token not in output + errors
    assert WRONG not in output + errors


@pytest.mark.slow
@pytest.mark.parametrize("token", ["none", "wrong"])
def test_to_be_refused_is_two_lines(running: Running, token: str) -> None:
    assert running.cluster.nodes[0].poll() is None
    stranger = running.strangers[token]
    _, errors = stranger.communicate(timeout=120)
    assert len(errors.strip().splitlines()) == 2
