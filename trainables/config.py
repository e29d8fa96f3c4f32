"""Everything that determines a trial's result, as one frozen value."""

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainables.metrics import RATES, Metrics
from trainables.text import legible
from vae_models import ModelConfig
from vae_models.config import OWNED

MOST_EPOCHS = 1_000_000
HELD_OUT = 0.1  # of the training set, unless a config says otherwise
MEANT = {
    **{"learning_rate": "lr", "kl_weight": "beta", "latent_size": "model.latent_dim", "latents": "model.latent_dim"},
    "model.image_size": "image_size",
}
"""What others call a field -> its path."""
_REPEAT_STRIDE = 100_003  # between the seeds of a trial's repeats: no study has as many trials, so none is another's


def completed(values: Any) -> Any:
    """A recorded config's values: what an older one lacks has its default, but the definitions, which were not said."""
    return {"definitions": 1, **values} if isinstance(values, dict) else values


class TrialConfig(BaseModel):
    """One training run. Equal configs give equal results on equal hardware. Raises: pydantic.ValidationError (a
    ``ValueError``), which names the field, the rule and the value. The training loss is D + beta R in nats per image
    (`vae_models.elbo`), unless ``free_bits`` or ``importance_samples`` make it another; a seed repository's "mean
    squared error + w KL" is the same objective at beta = w * dimensions / (2 * latent_dim)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: ModelConfig = ModelConfig()
    dataset: str = "digits"  # a name of ``trainables.data.catalog``, or ``imagefolder:PATH`` or ``greyfolder:PATH``
    image_size: int | None = Field(None, ge=8, le=1024)  # side that a folder's images are resized to
    limit_train: int | None = Field(None, ge=2, lt=2**31)
    limit_val: int | None = Field(None, ge=2, lt=2**31)
    # share of the training set's images that validate and train nothing, by label
    held_out: float = Field(HELD_OUT, gt=0, le=0.5)

    beta: float = Field(1.0, ge=0)  # the KL weight; a multi-rate network has those of ``model.beta_range``
    kl_warmup: float = Field(0.0, ge=0, le=1)  # share of the epochs over which it rises linearly from 0
    # nats of each latent, in the mean over a batch, below which its rate costs nothing to raise: `elbo.free_rate`
    free_bits: float = Field(0.0, ge=0, le=1000)
    # K: above 1 the loss is minus the importance-weighted bound (`elbo.importance_weighted`), of weight 1; the epochs
    # are measured, and the best is chosen, by D + R of one sample as ever
    importance_samples: int = Field(1, ge=1, le=5000)
    epochs: int = Field(10, ge=1, le=MOST_EPOCHS)
    # epochs without a better one after which a training ends, counted when its KL weight has risen; None: it goes on
    patience: int | None = Field(None, ge=1, le=MOST_EPOCHS)
    batch_size: int = Field(128, ge=1, lt=2**31)  # images per optimiser step over all workers together
    lr: float = Field(1e-3, gt=0)
    optimizer: Literal["adam", "adamw"] = "adamw"
    weight_decay: float = Field(0.0, ge=0)
    # cosine decays to 0 over all steps; plateau halves after 4 epochs without a better val_nelbo; burda falls to a
    # tenth in 8 stages, each three times as long as the one before
    schedule: Literal["constant", "cosine", "plateau", "burda"] = "cosine"
    grad_clip: float = Field(5.0, gt=0)  # largest gradient norm of the loss per dimension (nats per image / dimensions)
    # of the initial weights, the order of the images and the noise; the validation split has its own
    seed: int = Field(0, ge=0, lt=2**31)
    precision: Literal["float32", "bf16"] = "float32"
    # whether `torch.compile` makes one function of the model; None: no
    compile: bool | None = None
    # of what is measured and chosen by: in 1, sigma is the residuals' root mean square, and the best epoch that of the
    # lowest bits per dimension; see `criterion` and `trainables.training.yardstick`
    definitions: Literal[1, 2] = 2

    @field_validator("dataset")
    @classmethod
    def _absolute_folder(cls, dataset: str) -> str:
        """Workers run in folders of their own: a relative path would mean another place to each."""
        if legible(dataset) != dataset:
            rule = f"must be a path in UTF-8, as records write it, got {legible(dataset)}"
            raise ValueError(f"{rule}\nrename it, or make a link to it")
        kind, colon, path = dataset.partition(":")
        if "\0" in path:
            raise ValueError(f"must be a path without a null byte, got {dataset!r}")
        if not (colon and path):
            return dataset
        try:
            place = (Path(path).expanduser() if path.startswith("~") else Path(path)).absolute()
            if ".." in place.parts and (shorter := Path(os.path.normpath(place))).resolve() == place.resolve():
                place = shorter  # one name for it, whatever folder the command is given in
            return f"{kind}:{place}"
        except RuntimeError as error:
            raise ValueError(f"must be in a home that there is, got {dataset!r}") from error

    @model_validator(mode="after")
    def _a_multi_rate_network_has_its_own_weights(self) -> "TrialConfig":
        if self.model.multi_rate:
            rules = {"beta": 1.0, "kl_warmup": 0.0, "definitions": 2, "free_bits": 0.0, "importance_samples": 1}
            for name, default in rules.items():
                if (value := getattr(self, name)) != default:
                    why = "which is trained at every KL weight of model.beta_range"
                    raise ValueError(f"{name} must be {default:g} with model.multi_rate, {why}, got {value:g}")
        return self

    @model_validator(mode="after")
    def _a_loss_has_one_form(self) -> "TrialConfig":
        rules = {"beta": 1.0, "kl_warmup": 0.0, "free_bits": 0.0} if self.importance_samples > 1 else {}
        for name, default in rules.items():
            if (value := getattr(self, name)) != default:
                why = f"importance_samples {self.importance_samples}, whose bound has no rate to weigh"
                raise ValueError(f"{name} must be {default:g} with {why}, got {value:g}")
        if self.free_bits and self.model.prior != "standard_normal":
            why = f"model.prior {self.model.prior}, whose rate is no sum over latents"
            raise ValueError(f"free_bits must be 0 with {why}, got {self.free_bits:g}")
        return self

    @property
    def betas(self) -> tuple[float, ...]:
        """The KL weights at which an epoch is measured: the one of a plain training, or those that divide a multi-rate
        network's range evenly in their logarithms."""
        if not self.model.multi_rate:
            return (self.beta,)
        low, high = self.model.beta_range
        return (low, *(low * (high / low) ** (at / (RATES - 1)) for at in range(1, RATES - 1)), high)

    @property
    def main_beta(self) -> float:
        """The KL weight of an epoch's single numbers: that of a plain training, or the middle one of `betas`."""
        return self.betas[len(self.betas) // 2]

    def beta_at(self, progress: float) -> float:
        """The KL weight after ``progress`` of ``epochs`` (a fraction of an epoch counts)."""
        ramp = self.kl_warmup * self.epochs
        return self.beta * min(1.0, progress / ramp) if ramp > 0 else self.beta

    @classmethod
    def of_record(cls, values: Any) -> "TrialConfig":
        """A recorded config. Raises: pydantic.ValidationError."""
        return cls.model_validate(completed(values))

    def criterion(self, row: Mapping[str, Any]) -> Any:
        """What is lowest at a training's best epoch: validation D + beta R, nats per image, at the full KL weight; of a
        multi-rate network ``val_relative_loss``; by definitions 1 the bits per dimension. Of an epoch's metrics, or of
        an array for each."""
        if self.model.multi_rate:
            return row["val_relative_loss"]
        if self.definitions == 1:
            return row["val_bits_per_dim"]
        return row["val_distortion"] + self.beta * row["val_rate"]

    def best_row(self, history: Sequence[Metrics]) -> Metrics:
        """The best epoch's, the first of equal ones. Raises: ValueError where there is none."""
        return min(history, key=self.criterion)

    def is_done(self, history: Sequence[Metrics]) -> bool:
        """Whether a training ends with its last epoch so far: the last of all, or the one at which `patience` ends."""
        best = self.best_row(history)["epoch"] if history and self.patience else 0
        return self.ends_after(len(history), best)

    def ends_after(self, epochs: int, best: float) -> bool:
        """Whether a training ends after so many epochs, of which the ``best`` has this number, from 1."""
        waited = epochs - max(best, self.kl_warmup * self.epochs)
        return epochs >= self.epochs or (self.patience is not None and waited >= self.patience)

    def replace(self, overrides: Mapping[str, Any]) -> "TrialConfig":
        """A copy with fields set by dotted path, ``{"beta": 2.0, "model.depth": 1}``, checked as a whole. Raises:
        ValueError for a path that names no field, or a value that a field refuses."""
        values = self.model_dump()
        for path, value in overrides.items():
            parent, _, name = path.rpartition(".")
            kind: type[BaseModel] = ModelConfig if parent == "model" else TrialConfig
            owner = values["model"] if parent == "model" else values
            if parent not in ("", "model") or name not in kind.model_fields or path == "model":
                raise ValueError(_no_field(path, kind))
            owner[name] = value
        return TrialConfig.model_validate(values)

    def of_trial(self, number: int, parameters: Mapping[str, Any]) -> "TrialConfig":
        """What trial ``number`` of a search around this config trains, with the parameters drawn for it; those that it
        has no use for (see `idle`) take their defaults."""
        return self.replace({**parameters, **idle(parameters), "seed": (self.seed + number) % 2**31})

    def of_repeat(self, repeat: int) -> "TrialConfig":
        """What the ``repeat``-th training of this trial with another seed trains, counted from 1."""
        return self.replace({"seed": (self.seed + repeat * _REPEAT_STRIDE) % 2**31})


def idle(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the choices drawn for their owners have not, with their defaults: where a search draws both, as
    ``model.likelihood`` and the ``model.components`` of one of its likelihoods."""
    return {
        f"model.{name}": ModelConfig.default(name)
        for name, (owner, choices) in OWNED.items()
        if parameters.get(f"model.{owner}", choices[0]) not in choices
    }


def used(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a trial's drawn parameters that it has a use for."""
    unused = idle(parameters)
    return {path: value for path, value in parameters.items() if path not in unused}


def _no_field(path: str, kind: type[BaseModel]) -> str:
    fields = [name for name in kind.model_fields if name != "model"]
    paths = [*TrialConfig.model_fields, *(f"model.{name}" for name in ModelConfig.model_fields)]
    paths.remove("model")
    near = [MEANT[path]] if path in MEANT else get_close_matches(path, paths, n=1)
    near = near or [f"model.{name}" for name in get_close_matches(path, ModelConfig.model_fields, n=1)]
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{path!r} is no field of {kind.__name__}\n{meant}its fields: {', '.join(fields)}"
