"""The options of a study's command that say what it asks, and how options are made of the fields of dataclasses."""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_origin, get_type_hints

from typer import Option

from studies.sampling import SAMPLERS
from studies.study import WITH_OPTION, Study
from trainables.console import folder_of
from trainables.records.study_layout import new_study_of
from trainables.slots.resources import Placement

_Fields = TypeVar("_Fields")
_PLAN = ("trials", "final_epochs", "seeds", "seed")  # options whose defaults are the study's


def _path(help: str, parser: Callable[[str], Path] = folder_of, **more: Any) -> Any:
    return Option(parser=parser, metavar="PATH", help=help, **more)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a study's command is asked besides `studies.run.options`; without a default here, it has the study's own."""

    data_dir: Annotated[Path | None, _path("Folder of data sets and downloads.", envvar="VAE_DATA_DIR")] = None
    out: Annotated[Path | None, _path("The study's folder. [default: runs/<its name>]", new_study_of)] = None
    trials: Annotated[int, Option(help="Trials in all; more than before extends.")]
    epochs: Annotated[int, Option(help="Epochs of a trial.")]
    final: Annotated[
        int | None, Option(help="Trials to train once more, longer. [default: 3 spread over the front, or the best]")
    ] = None
    final_epochs: Annotated[int, Option(help="Epochs of these last trainings; 0: none.")]
    limit_train: Annotated[int | None, Option(help="Train on at most this many images.")]
    limit_val: Annotated[int | None, Option(help="Validate on at most this many images.")]
    seeds: Annotated[int, Option(help="Train three of the front, or the best, so often again with other seeds.")]
    seed: Annotated[int, Option(help="Of the search and of every training.")]
    objective: Annotated[
        Literal["rate_distortion", "bits_per_dim"] | None,
        Option(help="What is minimised. [default: the folder's own; of a new one rate and distortion]"),
    ] = None
    multi_rate: Annotated[
        bool, Option("--multi-rate", help="Train networks for every KL weight at once, one a trial.")
    ] = False
    prune: Annotated[
        float | None,
        Option(
            metavar="Q", help="Prune a trial above this quantile of its peers; 0: none. [default: the study's, or 0.5]"
        ),
    ] = None
    where: Annotated[
        list[str] | None, Option(metavar="LIMIT", help="What trials must keep to: 'val_rate<=20'; may be repeated.")
    ] = None
    sampler: Annotated[
        Literal["tpe", "gp", "random"] | None, Option(help="Optuna's, after the first trials. [default: tpe]")
    ] = None
    set: Annotated[
        list[str] | None, Option(metavar="FIELD=VALUE", help="Set any field of the base config; may be repeated.")
    ] = None
    accelerator: Annotated[str | None, Option(metavar="TYPE", help="Of the nodes to use, such as H100.")] = None
    label: Annotated[list[str] | None, Option(metavar="KEY=VALUE", help="Of the nodes to use; may be repeated.")] = None
    storage: Annotated[
        list[str] | None,
        Option(
            metavar="URL",
            envvar="VAE_STORAGE",
            help="A database for the Optuna ledger; s3:// or gs:// for the checkpoints. May be repeated."
            " [default: the study's folder]",
        ),
    ] = None
    dry_run: Annotated[bool, Option("--dry-run", help="Print the plan and start nothing.")] = False
    fresh: Annotated[bool, Option("--fresh", help="Start over; the earlier study is moved aside.")] = False
    report: Annotated[bool, Option(help="Draw the figures and the page at the end.")] = True

    def planned(self, study: Study) -> Study:
        """The study with what is asked. Raises: UserError, ValueError: see `Study.with_overrides`."""
        if self.multi_rate:
            if self.objective:
                raise ValueError(f"--objective must be left out with --multi-rate, got {self.objective}")
            study = study.multi_rate()
        overrides = {name: getattr(self, name) for name in WITH_OPTION}
        defaults, found = defaults_of(study), dict(self._set(study))
        for path, value in found.items():
            if path in WITH_OPTION and overrides[path] not in (defaults[path], value):
                option = f"--{path.replace('_', '-')}"
                raise ValueError(
                    f"{option} must be given once, got {overrides[path]}, and {value} by --set\nleave out one"
                )
        overrides |= found
        plan = {name: getattr(self, name) for name in _PLAN} | {name: found[name] for name in {"seed"} & found.keys()}
        given: dict[str, Any] = {
            "objective": self.objective,
            "final": self.final,
            "prune": self.prune,
            "where": self.where and tuple(self.where),
        }
        given["sampler"] = SAMPLERS[self.sampler] if self.sampler else None
        plan |= {name: value for name, value in given.items() if value is not None}
        if self.final and not plan["final_epochs"]:
            raise ValueError(f"--final must be 0 where --final-epochs is 0, got {self.final}")
        if self.final and 0 < self.trials < self.final:
            raise ValueError(f"--final must be at most --trials, {self.trials:,}, got {self.final:,}")
        return Study(**{**vars(study), **plan}).with_overrides(overrides)

    def _set(self, study: Study) -> Iterator[tuple[str, Any]]:
        """Path and value of each ``--set``, as far as each alone can be. Raises: ValueError."""
        given: dict[str, Any] = {}
        for text in self.set or []:
            path, equals, written = (part.strip() for part in text.partition("="))
            if not (path and equals):
                raise ValueError(f"--set must be FIELD=VALUE, got {text!r}\nsuch as --set model.width=16")
            option = path.replace("_", "-")
            if path == "model.multi_rate":
                raise ValueError(f"--set must leave model.multi_rate alone, got {written}\nuse --multi-rate")
            if path in {each.name for each in fields(self)} - set(WITH_OPTION):
                raise ValueError(f"--set must name a field of the configuration, got {path!r}\nuse --{option}")
            try:
                value = json.loads(written)
            except ValueError:  # text
                value = written
            if isinstance(value, bool) and path != "compile":
                raise ValueError(f"--set {path} must not be true or false, got {written}")
            if path in given and given[path] != value:
                raise ValueError(f"--set {path} must be given once, got {given[path]}, and {value}\nleave out one")
            given[path] = value
            if path in WITH_OPTION:
                study.base.replace({path: value})
            yield path, value

    def placement(self) -> Placement:
        """Which nodes are wanted. Raises: ValueError for what is no label, or is given twice."""
        labels: dict[str, str] = {}
        for text in self.label or []:
            key, equals, value = text.partition("=")
            if not (key and equals) or key in labels:
                raise ValueError(f"--label must be KEY=VALUE, each key once, got {text!r}")
            labels[key] = value
        if self.accelerator is not None and not self.accelerator.strip():
            raise ValueError(f"--accelerator must be a type of accelerator, got {self.accelerator!r}")
        return Placement(self.accelerator, labels)


def defaults_of(study: Study) -> dict[str, Any]:
    """Those of `Asked` that are a study's own."""
    base = {name: getattr(study.base, name) for name in WITH_OPTION}
    return base | {name: getattr(study, name) for name in _PLAN}


def with_options(command: Callable[..., None], kinds: list[type], defaults: Mapping[str, Any]) -> Callable[..., None]:
    """A command, which takes keywords, with an option for each field of dataclasses that has a `typer.Option`."""
    parameters = list(inspect.signature(command).parameters.values())[:-1]
    for kind in kinds:
        for name, (hint, default) in _options(kind).items():
            value = defaults.get(name, default)
            parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=hint))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def built(kind: type[_Fields], values: Mapping[str, Any], **others: Any) -> _Fields:
    """One of those dataclasses, from the values of a command's options, and its other fields."""
    return kind(**{name: values[name] for name in _options(kind)}, **others)


def _options(kind: type) -> dict[str, tuple[Any, Any]]:
    """Annotation and default of the fields that are options."""
    hints = get_type_hints(kind, include_extras=True)
    options = [each for each in fields(kind) if get_origin(hints[each.name]) is Annotated]
    return {each.name: (hints[each.name], each.default) for each in options}
