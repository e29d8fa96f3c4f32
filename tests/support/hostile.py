"""Study folders and image sets as an enemy would make them: each case changes one whole folder.

A file that runs code when it is opened creates the canary; what a page shows unescaped holds `MARKUP`; what
leads out of the folder ends in `Scene.outside`, whose `SECRET` nothing may show and whose files stay as they are.
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from trainables.records.atomic_files import digest, seal, unseal
from trainables.training.checkpoint import weights_hash

MARKUP = "</script><img src=x onerror=alert(1)>"
SECRET = "the-owner's-secret"
DEEP = "[" * 100_000
FORMULA = r"$\frac{1}{_%&#"
ESCAPE = "\x1b]0;owned\x07\x1b[2J"


@dataclass(frozen=True)
class Scene:
    """A folder to spoil, the canary that must not come to life, and a place outside with a secret."""

    folder: Path
    canary: Path
    outside: Path

    @property
    def trial(self) -> Path:
        return self.folder / "trials" / "0000"

    @property
    def weights(self) -> Path:
        return self.trial / "checkpoints" / "best.safetensors"


class Bomb:
    """Runs code where it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._canary,)


Case = Callable[[Scene], object]
STUDIES: dict[str, Case] = {}
IMAGES: dict[str, tuple[str, Case]] = {}
"""Name of a data set, and what to put into an empty folder for it."""


def study(case: Case) -> Case:
    STUDIES[case.__name__] = case
    return case


def info(title: str, /, **changes: Any) -> None:
    """A case that changes study.json and seals it again, as an enemy can."""

    def case(scene: Scene) -> None:
        path = scene.folder / "study.json"
        values = unseal(path.read_bytes())
        for key, change in changes.items():
            values[key] = change(values[key], scene) if callable(change) else change
        path.write_text(forge(values))

    STUDIES[f"study.json {title}"] = case


def forge(values: dict[str, Any]) -> str:
    """`seal`, of what it refuses too: NaN and infinity."""
    body = json.dumps(values)[:-1]
    return f'{body}, "content_sha256": "{digest(body.encode())}"}}'


def row(name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """A case that changes the first epoch of trial 0."""

    def case(scene: Scene) -> None:
        path = scene.trial / "metrics.jsonl"
        first, *rest = path.read_text().splitlines()
        path.write_text("\n".join([forge(change(unseal(first))), *rest]) + "\n")

    STUDIES[f"metrics.jsonl {name}"] = case


def sql(name: str, *statements: str) -> None:
    """A case that runs SQL on the ledger."""

    def case(scene: Scene) -> None:
        with sqlite3.connect(scene.folder / "study.db") as ledger:
            for statement in statements:
                ledger.execute(statement)

    STUDIES[f"study.db {name}"] = case


def header(name: str, **metadata: str) -> None:
    """A case that changes the metadata of trial 0's weights, with the right hash."""

    def case(scene: Scene) -> None:
        with safetensors.safe_open(scene.weights, framework="pt") as file:
            found = dict(file.metadata())
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        found.pop("sha256")
        found |= metadata
        found["sha256"] = weights_hash(tensors, found)
        scene.weights.write_bytes(safetensors.torch.save(tensors, found))

    STUDIES[f"best.safetensors {name}"] = case


def replaced(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def linked(path: Path, target: Path) -> None:
    """``path`` becomes a link to ``target``."""
    if path.is_dir():
        path.rename(path.with_name(f"was-{path.name}"))
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)


def piped(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


# What a pickle does, wherever one might be opened

PICKLED = {
    "study.json": "study.json", "study.db": "study.db", "trials/0000/config.json": "config.json",
    "trials/0000/metrics.jsonl": "metrics.jsonl", "trials/0000/checkpoints/best.safetensors": "weights",
    "trials.parquet": "trials.parquet", "report.html": "report.html",
}  # fmt: skip
for _place, _name in PICKLED.items():
    STUDIES[f"pickle as {_name}"] = lambda scene, place=_place: (scene.folder / place).write_bytes(
        pickle.dumps(Bomb(scene.canary))
    )  # type: ignore[misc]


@study
def torch_pickle_as_weights(scene: Scene) -> None:
    torch.save({"model": Bomb(scene.canary)}, scene.weights)


@study
def torch_pickle_as_state(scene: Scene) -> None:
    path = scene.weights.with_name("epoch.pt")
    torch.save({"model": Bomb(scene.canary)}, path)
    path.rename(path.with_name(f"epoch_0009.{digest(path.read_bytes())}.pt"))


@study
def numpy_objects_as_record(scene: Scene) -> None:
    with (scene.trial / "metrics.jsonl").open("wb") as file:
        np.save(file, np.array([Bomb(scene.canary)], dtype=object), allow_pickle=True)


# study.json

for _name, _text in {
    "empty": "", "deep": DEEP, "no object": "[]", "null": "null", "half": '{"name": "x"',
    "python tag": "!!python/object/apply:os.system [touch canary]", "not text": "\x00\xff\xfe",
}.items():  # fmt: skip
    STUDIES[f"study.json {_name}"] = lambda scene, text=_text: (scene.folder / "study.json").write_text(text)  # type: ignore[misc]

info("deep, sealed", hardware=json.loads("[" * 500 + "]" * 500))
info("a name of markup", name=MARKUP)
info("a command of markup", command=MARKUP, git_commit=MARKUP, created=MARKUP, seed=MARKUP)
info("versions of markup", versions={MARKUP: MARKUP}, hardware={MARKUP: [MARKUP]})
info("a template for a command", command="{{ 7 * 7 }}{% include '/etc/passwd' %}", created="{{ page }}")
info("escape sequences", name=ESCAPE)
info("a name that is a path", name="../../outside")
info("a formula", name=FORMULA, command=FORMULA)
info("values of other kinds", created={"a": [1]}, command=["a"], versions="x", git_commit=7, final=[], trials={})
info("no base", base=None)
info("a base with more", base=lambda base, _: base | {"__class__": "os.system"})
info("a giant model", base=lambda base, _: base | {"model": base["model"] | {"width": 10**12}})
info("infinity", base=lambda base, _: base | {"beta": float("inf"), "lr": float("nan")})
info("a big number", base=lambda base, _: base | {"seed": 10**400})
info("images from elsewhere", base=lambda base, scene: base | {"dataset": f"imagefolder:{scene.outside}"})
info("a data set that climbs", base=lambda base, _: base | {"dataset": "imagefolder:../outside"})
info("a data set of markup", base=lambda base, _: base | {"dataset": f"imagefolder:{MARKUP}"})
info("a data set with a null", base=lambda base, _: base | {"dataset": "imagefolder:\x00"})
info("data to be written elsewhere", base=lambda base, _: base | {"dataset": "mnist"},
     data_dir=lambda _, scene: str(scene.outside))  # fmt: skip
info("data in a file", data_dir="/etc/passwd")
info("data nowhere", data_dir="\x00")
info("a space of nothing", space={"no.such": "{}"})
info(
    "a space of dunders",
    space={"__class__.__init__": '{"name": "IntDistribution", "attributes": {"low": 1, "high": 2}}'},
)
info("a space that is no space", space=[1, 2])
info("a deep space", space={"beta": DEEP})
info("choices of markup", space=lambda space, _: space | {
    "optimizer": json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": [MARKUP]}})})  # fmt: skip
info("storage in a system file", storage="sqlite:////etc/passwd")
info("storage elsewhere", storage=lambda _, scene: f"sqlite:///{scene.outside}/other.db")
info("storage with options", storage=lambda _, scene: f"sqlite:///file:{scene.outside}/new.db?mode=rwc&uri=true")
info("storage on a server", storage="postgresql://user:password@127.0.0.1:1/db")
info("storage by a plugin", storage="os.system://touch")
info("data that is no text", data_dir=5)
info("choices of two kinds", space=lambda space, _: space | {
    "model.latent_dim": json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": [2, "16"]}})})  # fmt: skip
info("storage that is no text", storage={"url": "sqlite://"})


@study
def study_json_is_a_folder(scene: Scene) -> None:
    path = scene.folder / "study.json"
    path.unlink()
    path.mkdir()


# Links and pipes

for _place in ("study.json", "study.db", "trials", "trials/0000", "trials/0000/config.json",
               "trials/0000/metrics.jsonl", "trials/0000/checkpoints", "trials/0000/checkpoints/best.safetensors",
               "trials/final", "visu", "models", "report.html", "trials.csv"):  # fmt: skip
    STUDIES[f"a link out as {_place}"] = lambda scene, place=_place: linked(
        scene.folder / place, scene.outside / "file" if "." in place else scene.outside
    )  # type: ignore[misc]
for _place in ("study.json", "study.db", "trials/0000/config.json", "trials/0000/metrics.jsonl", "report.html",
               "trials/0000/checkpoints/best.safetensors"):  # fmt: skip
    STUDIES[f"a pipe as {_place}"] = lambda scene, place=_place: piped(scene.folder / place)  # type: ignore[misc]
STUDIES["a link to an endless file"] = lambda scene: linked(scene.trial / "metrics.jsonl", Path("/dev/zero"))
STUDIES["a link to itself"] = lambda scene: linked(scene.trial / "config.json", scene.trial / "config.json")
STUDIES["a loop of links"] = lambda scene: (scene.trial / "loop").symlink_to(scene.folder)


@study
def links_through_the_folder_that_is_not_read(scene: Scene) -> None:
    for name, target in (("models", "x"), ("visu", "y")):
        (scene.folder / ".ray" / target).mkdir(parents=True)
        (scene.folder / name).symlink_to(f".ray/{target}")
    (scene.folder / ".ray" / "x" / "VAE").symlink_to(scene.outside)
    (scene.folder / ".ray" / "y" / "mnist_vae").symlink_to(scene.outside)


@study
def an_endless_file(scene: Scene) -> None:
    with (scene.trial / "metrics.jsonl").open("ab") as file:
        file.truncate(1 << 38)


@study
def an_endless_study_json(scene: Scene) -> None:
    with (scene.folder / "study.json").open("ab") as file:
        file.truncate(1 << 38)


@study
def weights_of_another_trial(scene: Scene) -> None:
    other = scene.folder / "trials" / "0001" / "checkpoints" / "best.safetensors"
    scene.weights.write_bytes(other.read_bytes())


@study
def folders_with_odd_names(scene: Scene) -> None:
    for name in (MARKUP.replace("/", "|"), "..%2f..", "$(touch canary)", "-rf", "0000\n0001", ESCAPE):
        (scene.folder / "trials" / name).mkdir()


# A trial's records

row("of markup", lambda r: r | {"val_mse": MARKUP})
row("with a column of markup", lambda r: r | {MARKUP: 1.0})
row("of text", lambda r: r | {"val_rate": "1.0"})
row("of NaN", lambda r: r | {"val_rate": float("nan")})
row("of infinity", lambda r: r | {"val_bits_per_dim": float("-inf")})
row("of a big number", lambda r: r | {"val_mse": 10**400})
row("of lists", lambda r: r | {"val_mse": [1.0], "epoch_seconds": {"a": 1}})
row("of truth", lambda r: r | {"val_active_units": True})
row("without training", lambda r: {k: v for k, v in r.items() if not k.startswith("train")})
row("without sigma", lambda r: {k: v for k, v in r.items() if k != "sigma"})
row("of an epoch that is text", lambda r: r | {"epoch": "1"})
row("of thousands of columns", lambda r: r | {f"val_{n}": 1.0 for n in range(5000)})
row("of a sigma of zero", lambda r: r | {"sigma": 0.0})

for _name, _text in {
    "deep": DEEP + "\n", "numbers": "1\n2\n3\n", "null bytes": "\x00" * 100 + "\n", "lists": "[]\n[]\n",
}.items():  # fmt: skip
    STUDIES[f"metrics.jsonl {_name}"] = lambda scene, text=_text: (scene.trial / "metrics.jsonl").write_text(text)  # type: ignore[misc]


@study
def config_of_another_data_set(scene: Scene) -> None:
    path = scene.trial / "config.json"
    path.write_text(forge(unseal(path.read_bytes()) | {"dataset": f"imagefolder:{scene.outside}"}))


@study
def config_of_another_shape(scene: Scene) -> None:
    path = scene.trial / "config.json"
    values = unseal(path.read_bytes())
    values["model"] |= {"image_shape": [3, 1024, 1024], "latent_dim": 65_536, "width": 1024, "depth": 16}
    path.write_text(forge(values))


# The ledger

sql("a view for a table", "ALTER TABLE trials RENAME TO t", "CREATE VIEW trials AS WITH RECURSIVE n(x) AS "
    "(SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS trial_id, x AS number, 1 AS study_id, 'RUNNING' AS state, "
    "NULL AS datetime_start, NULL AS datetime_complete FROM n")  # fmt: skip
sql("a view for the version", "ALTER TABLE version_info RENAME TO v", "CREATE VIEW version_info AS WITH RECURSIVE n(x) AS "
    "(SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT 1 AS version_info_id, 12 AS schema_version, '5' AS library_version "
    "FROM n WHERE x < 0")  # fmt: skip
sql("a computed column", "ALTER TABLE version_info RENAME TO v", "CREATE TABLE version_info (version_info_id INTEGER "
    "PRIMARY KEY, schema_version INTEGER, library_version TEXT AS (hex(zeroblob(400000000))))",
    "INSERT INTO version_info (version_info_id, schema_version) VALUES (1, 12)")  # fmt: skip
sql(
    "a parameter that is text",
    "UPDATE trial_params SET param_value = 0, distribution_json = "
    '\'{"name": "CategoricalDistribution", "attributes": {"choices": ["x"]}}\' WHERE param_name = \'beta\'',
)
sql(
    "a parameter that was not drawn",
    "UPDATE trial_params SET param_value = param_value * 1.01 WHERE param_name = 'beta'",
)
sql("a metric that was not told", "UPDATE trial_intermediate_values SET intermediate_value = 1.0 WHERE trial_id = 1")
sql("a value that was not told", "UPDATE trial_values SET value = 1.0")
sql("a trigger", "CREATE TRIGGER t AFTER INSERT ON trials BEGIN DELETE FROM trials; END")
sql("another owner", "UPDATE study_user_attributes SET value_json = '\"another\"'")
sql("an owner that is no JSON", "UPDATE study_user_attributes SET value_json = '{'")
sql("a cause of markup", f"INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (1, 'cause', '\"{MARKUP}\"')",
    "UPDATE trials SET state = 'FAIL' WHERE trial_id = 1")  # fmt: skip
sql("a cause of escape sequences", "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES "
    "(1, 'cause', '\"\\u001b]0;owned\\u0007\"')", "UPDATE trials SET state = 'FAIL'")  # fmt: skip
sql(
    "a cause that is a list",
    "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (1, 'cause', '[{}]')",
)
sql("an unknown state", "UPDATE trials SET state = 'OWNED' WHERE trial_id = 1")
sql("a negative number", "UPDATE trials SET number = -1 WHERE trial_id = 1")
sql("a number of text", "UPDATE trials SET number = '../../outside' WHERE trial_id = 1")
sql("a giant number", "UPDATE trials SET number = 9223372036854775807 WHERE trial_id = 1")
sql("numbers twice", "UPDATE trials SET number = 0")
sql("a date that is none", "UPDATE trials SET datetime_start = 'yesterday'")
sql("a parameter out of range", "UPDATE trial_params SET param_value = 1e300")
sql("a parameter of text", f"UPDATE trial_params SET param_value = '{MARKUP}'")
sql("a parameter of infinity", "UPDATE trial_params SET param_value = 9e999")
sql("no parameters", "DELETE FROM trial_params")
sql("a parameter of another name", f"UPDATE trial_params SET param_name = '{MARKUP}' WHERE param_name = 'beta'")
sql("a distribution that is none", 'UPDATE trial_params SET distribution_json = \'{"name": "os.system"}\'')
sql("a deep distribution", f"UPDATE trial_params SET distribution_json = '{DEEP}'")
sql("values of text", "UPDATE trial_values SET value = 'x'")
sql("values of infinity", "UPDATE trial_values SET value_type = 'INF_NEG'")
sql("no values", "DELETE FROM trial_values")
sql("two objectives", "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (1, 1, 0.0, 'FINITE')",
    "INSERT INTO study_directions (study_id, direction, objective) VALUES (1, 'MAXIMIZE', 1)")  # fmt: skip
sql("negative epochs", "UPDATE trial_intermediate_values SET step = -step")
sql("no tables", "DROP TABLE trials")
sql("another version", "UPDATE version_info SET schema_version = 99")

# Weights

header("a model that is no model", model="{}")
header("a model that is deep", model=DEEP)
header("a giant model", model='{"image_shape": [3, 1024, 1024], "latent_dim": 65536, "depth": 16, "width": 1024}')
header("metrics of lists", metrics='[["a"]]')
header("metrics that are no JSON", metrics="{")
header("metrics of markup", metrics=json.dumps({MARKUP: MARKUP}))
for _name, _content in {
    "a giant header": struct.pack("<Q", 2**63) + b"{}", "a deep header": struct.pack("<Q", len(DEEP)) + DEEP.encode(),
    "overlapping tensors": struct.pack("<Q", 98) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
    b'"b":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}' + bytes(4),
}.items():  # fmt: skip
    STUDIES[f"best.safetensors {_name}"] = lambda scene, content=_content: scene.weights.write_bytes(content)  # type: ignore[misc]


@study
def weights_of_infinity(scene: Scene) -> None:
    with safetensors.safe_open(scene.weights, framework="pt") as file:
        found = dict(file.metadata())
        tensors = {key: torch.full_like(file.get_tensor(key), torch.inf) for key in file.keys()}  # noqa: SIM118
    found.pop("sha256")
    scene.weights.write_bytes(safetensors.torch.save(tensors, found | {"sha256": weights_hash(tensors, found)}))


@study
def weights_of_integers(scene: Scene) -> None:
    with safetensors.safe_open(scene.weights, framework="pt") as file:
        found = dict(file.metadata())
        tensors = {key: file.get_tensor(key).to(torch.int8) for key in file.keys()}  # noqa: SIM118
    found.pop("sha256")
    scene.weights.write_bytes(safetensors.torch.save(tensors, found | {"sha256": weights_hash(tensors, found)}))


# Image sets


def images(name: str, dataset: str, case: Case) -> None:
    IMAGES[name] = dataset, case


def idx(scene: Scene, name: str, content: bytes) -> None:
    folder = scene.folder / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for other in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{other}-ubyte").write_bytes(struct.pack(">4I", 0x803, 1, 28, 28) + bytes(784))
    (folder / name).write_bytes(content)


def picture(scene: Scene, content: bytes) -> None:
    folder = scene.folder / "cats"
    folder.mkdir(exist_ok=True)
    for n in range(3):
        Image.new("RGB", (16, 16)).save(folder / f"{n}.png")
    (folder / "bad.png").write_bytes(content)


FIRST = "train-images-idx3-ubyte"
images("idx of a pickle", "mnist", lambda s: idx(s, FIRST, pickle.dumps(Bomb(s.canary))))
images("idx of any size", "mnist", lambda s: idx(s, FIRST, struct.pack(">4I", 0x803, *[2**32 - 1] * 3)))
images("idx of objects", "mnist", lambda s: idx(s, FIRST, struct.pack(">4I", 0xD03, 1, 28, 28) + bytes(784 * 4)))
images("idx without pixels", "mnist", lambda s: idx(s, FIRST, struct.pack(">4I", 0x803, 0, 28, 28)))
images("idx in a gzip bomb", "mnist", lambda s: (
    idx(s, FIRST + ".gz", gzip.compress(struct.pack(">4I", 0x803, 1, 28, 28) + bytes(50_000_000))),
    (s.folder / "MNIST/raw" / FIRST).unlink()))  # fmt: skip
images("idx as a pipe", "mnist", lambda s: (idx(s, FIRST, b""), piped(s.folder / "MNIST/raw" / FIRST)))
images("cifar of labels that are none", "cifar10", lambda s: [
    (s.folder / "cifar-10-batches-bin").mkdir(),
    *((s.folder / "cifar-10-batches-bin" / f"{b}.bin").write_bytes(b"\xff" * 3073)
      for b in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"))])  # fmt: skip
images("cifar of pickles", "cifar10", lambda s: [
    (s.folder / "cifar-10-batches-py").mkdir(),
    *((s.folder / "cifar-10-batches-py" / b).write_bytes(pickle.dumps(Bomb(s.canary)))
      for b in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"))])  # fmt: skip
images("a pickle as a picture", "imagefolder", lambda s: picture(s, pickle.dumps(Bomb(s.canary))))
images("a page as a picture", "imagefolder", lambda s: picture(s, f"<svg>{MARKUP}</svg>".encode()))
images("postscript as a picture", "imagefolder", lambda s: picture(s, b"%!PS-Adobe-3.0 EPSF-3.0\n(touch canary) run"))
images("a picture of any size", "imagefolder", lambda s: picture(s, b"\x89PNG\r\n\x1a\n" + struct.pack(
    ">I4s2I5BI", 13, b"IHDR", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0, 0)))  # fmt: skip
images("a link out as a picture", "imagefolder", lambda s: (
    picture(s, b""), linked(s.folder / "cats/bad.png", s.outside / "picture.png")))  # fmt: skip
images("a link out as a class", "imagefolder", lambda s: (
    picture(s, b""), (s.folder / "cats/bad.png").unlink(), (s.folder / "dogs").symlink_to(s.outside)))  # fmt: skip
images("a pipe as a picture", "imagefolder", lambda s: (picture(s, b""), piped(s.folder / "cats/bad.png")))
images("nothing but a file", "imagefolder", lambda s: replaced((s.folder / "x", (s.folder / "x").touch())[0], b"x"))

__all__ = ["ESCAPE", "FORMULA", "IMAGES", "MARKUP", "SECRET", "STUDIES", "Bomb", "Scene", "forge", "seal"]
