"""The options of a study's command, and what its values become."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

from typer import Option

DataDir = Annotated[Path | None, Option(envvar="VAE_DATA_DIR", help="Folder of the data sets; downloads go there too.")]
Trials = Annotated[int, Option(help="Trials in all; more than before extends.")]
Epochs = Annotated[int, Option(help="Epochs of a trial.")]
FinalEpochs = Annotated[int, Option(help="Epochs of the last training, of the best configuration; 0: none.")]
LimitTrain = Annotated[int | None, Option(help="Train on at most this many images.")]
LimitVal = Annotated[int | None, Option(help="Validate on at most this many images.")]
Seeds = Annotated[int, Option(help="Train the three best trials so often again, with other seeds; 0: never.")]
Seed = Annotated[int, Option(help="Of the search and of every training.")]
Settings = Annotated[
    list[str] | None, Option("--set", metavar="FIELD=VALUE", help="Set any field of the base config; may be repeated.")
]
Accelerator = Annotated[
    str | None, Option(metavar="TYPE", help="Train on nodes with this accelerator, as Ray calls it: H100.")
]
Labels = Annotated[
    list[str] | None, Option("--label", metavar="KEY=VALUE", help="Train on nodes with this label; may be repeated.")
]
Storages = Annotated[
    list[str] | None,
    Option(
        "--storage",
        metavar="URL",
        envvar="VAE_STORAGE",
        help="A database for the Optuna ledger; s3:// or gs:// for the checkpoints. May be repeated."
        " [default: the study's folder]",
    ),
]
DryRun = Annotated[bool, Option("--dry-run", help="Print the plan and start nothing.")]
Fresh = Annotated[bool, Option("--fresh", help="Start over; the earlier study is moved aside.")]
Report = Annotated[bool, Option(help="Draw the figures and the page at the end.")]


def add_options(command: Callable[..., None], *kinds: type) -> None:
    """Give a command, which takes keywords, the options that fields of dataclasses are (`studies.run.options`)."""
    own = inspect.signature(command, eval_str=True)
    parameters = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
    for kind in kinds:
        for name, default in _options(kind).items():
            hint = get_type_hints(kind, include_extras=True)[name]
            parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
    command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]


def values_of(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a command's values that are options of a dataclass."""
    return {name: values[name] for name in _options(kind)}


def _options(kind: type) -> dict[str, Any]:
    """The defaults of the fields that are options."""
    hints = get_type_hints(kind, include_extras=True)
    return {each.name: each.default for each in fields(kind) if get_origin(hints[each.name]) is Annotated}


def parse_labels(texts: list[str]) -> dict[str, str]:
    """["zone=b"] -> {"zone": "b"}. Raises: ValueError for what is no label, or is given twice."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals) or key in found:
            raise ValueError(f"--label must be KEY=VALUE, each key once, got {text!r}")
        found[key] = value
    return found


def parse_settings(texts: list[str], others: Mapping[str, Any]) -> dict[str, Any]:
    """["model.width=16"] -> {"model.width": 16}; what is no JSON is taken as text.

    Raises:
        ValueError: for what sets nothing, and for a field that is set twice, or among ``others``, which have options.
    """
    found: dict[str, Any] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set must be FIELD=VALUE, got {text!r}")
        if path in found or path in others:
            raise ValueError(f"{path} is set twice: use --{path.replace('_', '-')}, or --set once")
        try:
            found[path] = json.loads(value)
        except ValueError:
            found[path] = value
    return found
