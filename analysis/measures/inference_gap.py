"""What of the ELBO is lost by the encoder, by the family of its posteriors, and by the decoder (Cremer et al. 2018,
"Inference suboptimality in variational autoencoders", ICML, arXiv:1801.03558). N images, Z latents; nats per image."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from analysis.measures.codes import Metric, Part, Subject, batches, chosen_rows, device_of, posteriors
from analysis.measures.importance_weighted import few, iwae
from analysis.statistics.resampling import standard_error
from trainables.training.evaluate import encoded
from vae_models import VAE
from vae_models.elbo import exact_distortions
from vae_models.priors import Posterior, Prior

_IMAGES, _FEWEST = 200, 10  # test images of the part, and of a decoder that is slow on a CPU
# floating-point, of decoding each once on a CPU: 10 s of two cores, as each is decoded 100 times with a gradient
# and 176 times without
_OPERATIONS = 2.5e9
_STEPS = 100
_LEARNING_RATE = 0.3  # of Adam, falling to 0: a mean's in standard deviations of the encoder's posterior
_CHECKED = 0.75, 1.0  # of the steps, after which an image's posterior is kept where it is its best so far
_TO_CHOOSE, _TO_MEASURE = 16, 64  # samples of each posterior: what chooses is not what measures
_UNFINISHED = 0.05  # of the encoder's part, that the last steps may bring where it is all of it


@dataclass(frozen=True)
class Gaps:
    """Three parts of -ELBO, of each image, (N,) float64."""

    encoder: np.ndarray  # the ELBO of the best Gaussian minus that of the encoder's: the amortisation gap
    family: np.ndarray  # log p(x) minus the ELBO of the best Gaussian: the approximation gap
    decoder: np.ndarray  # -log p(x)
    effective_samples: np.ndarray  # that carry the bound on log p(x), of which the last two are
    last_gain: np.ndarray  # of the encoder's part, what the last steps brought


def gaps(
    model: VAE, images: np.ndarray, sigma: float, known: Posterior | None = None, steps: int = _STEPS, seed: int = 0
) -> Gaps:
    """-ELBO = encoder's part + family's part + decoder's part of images, (N, C, H, W) uint8, at KL weight 1 and by the
    probability of pixels as they are (`vae_models.elbo.exact_distortion`: an exact likelihood's own, a density's under
    the calibrated Gaussian of width ``sigma``), for a decoder and a prior as they stand.

    The encoder's part is what another encoder with Gaussian posteriors of independent latents could win at most:
    for each image such a posterior is optimised, from the encoder's own, by Adam on the ELBO. It holds what the
    encoder has not learnt of these images, and where the training weighed the KL otherwise, what that changes. The
    family's part is what remains to log p(x), and no such encoder could win. The decoder's part, -log p(x), is what
    remains with the best of all encoders: only another decoder or prior makes it smaller, so of two models of the same
    pixels the difference of their decoder's parts is by how much one decoder is better.

    Of log p(x) the importance-weighted bound of the optimised posteriors is known (`iwae`): the family's part is at
    least, and the decoder's at most, what is found. The encoder's part, too, is at least what was found in ``steps``.
    ``known`` are the images' posteriors, (N, Z) on any device, where they are encoded already."""
    generator = torch.Generator(device_of(model)).manual_seed(seed)
    with torch.no_grad():
        lost = _Lost(model, model.prior(), sigma)
    parts = []
    for rows, x in batches(model, images):
        with torch.no_grad():
            own = encoded(model, x, rows, known)
        parts.append((own, *_optimised(lost, x, own, steps, generator)))
    owns, bests, last_gains = zip(*parts, strict=True)
    first, best = (Posterior(*map(torch.cat, zip(*each, strict=True))) for each in (owns, bests))
    # by the same noise, which an image's two posteriors share
    before, after = (iwae(model, images, sigma, _TO_MEASURE, seed + 1, known=each) for each in (first, best))
    return Gaps(
        encoder=after.elbo - before.elbo,
        family=after.log_likelihood - after.elbo,
        decoder=-after.log_likelihood,
        effective_samples=after.effective_samples,
        last_gain=torch.cat(last_gains).double().cpu().numpy(),
    )


@dataclass(frozen=True)
class _Lost:
    """-ELBO of a decoder and a prior as they stand."""

    model: VAE
    prior: Prior
    sigma: float

    def by(self, x: Tensor, posterior: Posterior, noise: Tensor) -> Tensor:
        """Of a batch by one sample of each image's posterior, (B,)."""
        output = self.model.decoder(posterior.sample(noise))
        distortion = exact_distortions(self.model.likelihood, output[None], x, self.sigma)[0]
        return distortion + self.prior.rate(posterior, noise)

    @torch.no_grad()
    def by_many(self, x: Tensor, posterior: Posterior, noise_KBZ: Tensor) -> Tensor:
        """By K of each, (B,)."""
        return torch.stack([self.by(x, posterior, noise) for noise in noise_KBZ]).mean(0)


def _optimised(
    lost: _Lost, x: Tensor, start: Posterior, steps: int, generator: torch.Generator
) -> tuple[Posterior, Tensor]:
    """The best posterior of each image of a batch, and what the steps after the last but one check brought, (B,)."""
    noise = torch.randn((_TO_CHOOSE, *start.mean.shape), generator=generator, device=x.device)
    best, lowest = start, lost.by_many(x, start, noise)
    last_gain = torch.zeros_like(lowest)
    for candidate in _candidates(lost, x, start, steps, generator):
        found = lost.by_many(x, candidate, noise)
        last_gain = (lowest - found).clamp(min=0)
        better = (found < lowest)[:, None]
        best = Posterior(*(torch.where(better, new, old) for new, old in zip(candidate, best, strict=True)))
        lowest = torch.minimum(found, lowest)
    return best, last_gain


def _candidates(
    lost: _Lost, x: Tensor, start: Posterior, steps: int, generator: torch.Generator
) -> Iterator[Posterior]:
    """What Adam comes to at each check, by one sample of each posterior a step."""
    shift, widening = moved = [torch.zeros_like(part, requires_grad=True) for part in start]
    optimizer = torch.optim.Adam(moved, lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    deviation, checks = torch.exp(0.5 * start.logvar), {max(1, round(share * steps)) for share in _CHECKED}
    for step in range(1, steps + 1):
        noise = torch.randn(start.mean.shape, generator=generator, device=x.device)
        total = lost.by(x, Posterior(start.mean + shift * deviation, start.logvar + widening), noise).sum()
        for part, gradient in zip(moved, torch.autograd.grad(total, moved), strict=True):
            part.grad = gradient
        optimizer.step()
        schedule.step()
        if step in checks:
            yield Posterior(start.mean + shift.detach() * deviation, start.logvar + widening.detach())


def _affordable(model: VAE) -> int:
    """How many images a few seconds are enough for."""
    device = device_of(model)
    if device.type != "cpu":
        return _IMAGES
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.decoder(torch.zeros(1, model.config.latent_dim))
    return int(np.clip(_OPERATIONS / max(1, counter.get_total_flops()), min(_FEWEST, _IMAGES), _IMAGES))


def _measured(subject: Subject) -> dict[str, float]:
    """The means of `gaps` over at most 200 test images, and how sure they are."""
    images, seed = subject.data.test.images, subject.seed
    rows = chosen_rows(len(images), _affordable(subject.model), seed)
    found = gaps(subject.model, images[rows], subject.sigma, posteriors(subject.codes, rows), seed=seed)
    parts = {"amortisation_gap": found.encoder, "approximation_gap": found.family, "decoder_part": found.decoder}
    means = {name: float(values.mean()) for name, values in parts.items()}
    errors = {f"{name}_error": standard_error(values) for name, values in parts.items()}
    return {
        "lost_nats": sum(means.values()),
        **means,
        **errors,
        "gap_images": len(rows),
        "gap_effective_samples": float(np.median(found.effective_samples)),
        "gap_last_gain": float(found.last_gain.mean()),
    }


def _is_unfinished(measured: Mapping[str, float]) -> bool:
    return measured["gap_last_gain"] > _UNFINISHED * max(measured["amortisation_gap"], 1.0)


def _is_loose(measured: Mapping[str, float]) -> bool:
    return few(measured.get("gap_effective_samples", math.inf))


INFERENCE = Part(
    "inference gap",
    "What is lost, in parts: at KL weight 1, with this decoder and prior",
    (
        Metric("lost_nats", "negative ELBO of {gap_images:.0f} test images", ".2f", "nats per image, of three parts:"),
        Metric(
            "amortisation_gap",
            "the encoder's part",
            ".2f",
            "nats that the best Gaussian posterior of each image wins (amortisation gap)",
            "≥",
            _is_unfinished,
        ),
        Metric(
            "approximation_gap",
            "the Gaussian posteriors' part",
            ".2f",
            "nats from there to log p(x) (approximation gap)",
            "≥",
            _is_loose,
        ),
        Metric(
            "decoder_part",
            "the decoder's part",
            ".2f",
            "nats, -log p(x): what the best encoder would leave",
            "≤",
            _is_loose,
        ),
    ),
    _measured,
    "The Gaussian posteriors' part is at least, and the decoder's at most, what is said: {gap_effective_samples:.1f} "
    f"of {_TO_MEASURE} samples carry the bound between them, in the median.",
    _is_loose,
)
