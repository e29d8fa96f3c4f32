"""The KL weights of a training: one, which may rise at its beginning, or of a multi-rate network all of a range, drawn
anew for every image and measured at several."""

import hashlib
import math
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.data.spectrum import DECODER_SCALE, EXACT, IMAGES_A_LATENT, SAMPLE, covariance_eigenvalues
from trainables.data.water_filling import water_filling
from trainables.metrics import AT_EACH_RATE, Metrics, at_rate
from trainables.training.batches import Pixels
from trainables.training.evaluate import validated
from trainables.training.process_group import Turns, World
from vae_models import VAE

# shares of the range's logarithm. Training begins with the weights above the first: few latents, then ever more of
# them. The range is whole after so much of its steps. What is drawn beyond it, below or above, counts as its end, where
# it is hardest
_BEGIN, _WHOLE = 0.3, 0.4
_BEYOND = 1.1, 0.4
_POWER = 1.75  # of the optimum by which a loss is divided; at 1 and at 2 the one or the other end loses more
_SPECTRUM_IMAGES = 20_000  # that the optimum is computed of, at most: 784 eigenvalues of more hardly differ
_LARGEST = 512  # eigenvalues that are computed of images too large for all of them, which need ten times as many images
_LEAST = 1e-3  # nats of an optimum: images that are all the same have none
_SIGMA_IMAGES = 100  # at least, of which a sigma is
_AT_ONCE = 100  # images that are evaluated together on a CPU, whose caches hold no more
_spectra: dict[str, np.ndarray] = {}  # by the images: a process trains many trials on the same


class Drawn(NamedTuple):
    """The KL weights of an epoch's steps, and what the loss at each counts: (steps, 1), or (steps, B)."""

    betas: Tensor
    weights: Tensor


class Rates(Protocol):
    """How a training meets its KL weights."""

    def draw(self, epoch: int, steps: int, batch: int, generator: torch.Generator) -> Drawn:
        """Those of an epoch, counted from 0."""
        ...

    def validated(self, model: VAE, train: Pixels, validation: Pixels, world: World) -> Turns[Metrics]:
        """What a model makes of the ``validation`` images: see `trainables.training.evaluate.validated`."""
        ...


def rates_of(config: TrialConfig, train: Pixels) -> Rates:
    """Those of a training on these images."""
    return ManyRates(config, train) if config.model.multi_rate else OneRate(config)


class OneRate:
    """A plain training's."""

    def __init__(self, config: TrialConfig) -> None:
        self._config = config

    def draw(self, epoch: int, steps: int, batch: int, generator: torch.Generator) -> Drawn:  # noqa: ARG002
        """See `Rates`."""
        betas = torch.tensor([[self._config.beta_at(epoch + step / steps)] for step in range(steps)])
        return Drawn(betas, torch.ones_like(betas))

    def validated(self, model: VAE, train: Pixels, validation: Pixels, world: World) -> Turns[Metrics]:
        """See `Rates`."""
        some = train.spread(len(validation))
        return (yield from validated(model, some, validation, world, self._config.definitions))


class ManyRates:
    """A multi-rate network's, judged by what a linear model of the same images could reach at each, so that no weight
    drowns the others."""

    def __init__(self, config: TrialConfig, train: Pixels) -> None:
        self._config = config
        self._eigenvalues, self._latents = _spectrum(train)
        table = np.geomspace(*config.model.beta_range, 65)
        self._table = np.log(table), np.log(self.optimum(table))
        self._usual = float(np.mean(np.exp(_POWER * self._table[1])))

    def optimum(self, betas: np.ndarray) -> np.ndarray:
        """The lowest D + beta R of a linear model of the training images, D without its constant: (M,) KL weights ->
        (M,) nats per image. It has a latent for each of an image's numbers; of more than 4,096 it has 512, or as many
        as a tenth of the images."""
        found = water_filling(self._eigenvalues, self._latents, betas)
        return np.asarray(np.maximum(found.distortion + betas * found.rate, _LEAST))

    def draw(self, epoch: int, steps: int, batch: int, generator: torch.Generator) -> Drawn:
        """See `Rates`. Each batch has all of the range that training has come to, evenly: its parts' losses differ by
        their images alone. The loss counts by an inverse power of the optimum: by 1 the low weights are trained less
        than the high ones."""
        share = (torch.arange(batch) + torch.rand(steps, batch, generator=generator, dtype=torch.float64)) / batch
        done = (epoch + torch.arange(steps, dtype=torch.float64)[:, None] / steps) / self._config.epochs
        start = _BEGIN - (_BEGIN + _BEYOND[0]) * (done / _WHOLE).clamp(max=1)
        place = (start + (1 + _BEYOND[1] - start) * share).clamp(0, 1)
        low, high = self._table[0][[0, -1]]
        logs = low + (high - low) * place
        optimum = np.exp(np.interp(logs.numpy(), *self._table))
        return Drawn(logs.exp().float(), torch.from_numpy(self._usual / optimum**_POWER).float())

    def validated(self, model: VAE, train: Pixels, validation: Pixels, world: World) -> Turns[Metrics]:
        """See `Rates`: at the middle KL weight, and what of it `AT_EACH_RATE` names at each."""
        betas, found = self._config.betas, list[Metrics]()
        # all together about as many as a plain one's sigma has
        some = train.spread(max(_SIGMA_IMAGES, len(validation) // len(betas)))
        for beta in betas:
            found.append((yield from validated(model.at(beta), some, validation, world, 2, _AT_ONCE)))
        constant = self._config.model.distortion_constant
        losses = [
            row["val_distortion"] - constant + beta * row["val_rate"] for beta, row in zip(betas, found, strict=True)
        ]
        relative = float(np.mean(losses / self.optimum(np.array(betas))))
        each = {at_rate(name, place): row[name] for place, row in enumerate(found) for name in AT_EACH_RATE}
        return found[len(betas) // 2] | {"val_relative_loss": relative} | each


def _spectrum(train: Pixels) -> tuple[np.ndarray, int]:
    """The eigenvalues of the images' covariance on the scale of the decoder's mean, pixels in [-1, 1], descending, and
    how many of them are not the mean of the rest."""
    size = math.prod(train.shape)
    images = train.images(max(1, min(_SPECTRUM_IMAGES, SAMPLE // size)))
    latents = size if size <= EXACT else min(_LARGEST, len(images) // IMAGES_A_LATENT)
    key = hashlib.sha256(images.data).hexdigest() + str(train.shape)
    if key not in _spectra:
        _spectra[key] = covariance_eigenvalues(images, np.arange(len(images)), latents) * DECODER_SCALE
    return _spectra[key], latents
