"""What codes are drawn from: the posterior q(z | x) of an image, and the prior p(z), to which the rate is measured.

Shapes: B images, Z latents, K pseudo-inputs of C x H x W. A log-density is in nats; ... are axes of samples, or none.
"""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from vae_models.config import ModelConfig

_LOG_TWO_PI = math.log(2 * math.pi)
_AT_ONCE = 1 << 25  # numbers, codes x pseudo-inputs x latents, that are compared together: 128 MiB
_SPREAD = 1.0  # of the pseudo-inputs' logits before training


class Posterior(NamedTuple):
    """q(z | x) = N(mean, diag(exp(logvar))); both are (B, Z)."""

    mean: Tensor
    logvar: Tensor

    def sample(self, noise_BZ: Tensor) -> Tensor:
        """The reparameterised sample mean + std * noise, (..., B, Z) as the noise is."""
        return self.mean + torch.exp(0.5 * self.logvar) * noise_BZ

    def log_prob(self, noise_BZ: Tensor) -> Tensor:
        """Log q(z | x) of the sample that this noise makes, (..., B, Z) -> (..., B). Of the noise, not of z: divided by
        a small standard deviation, z - mean has lost its digits."""
        return -0.5 * (noise_BZ.square() + self.logvar + _LOG_TWO_PI).sum(-1)


def kl_per_latent(posterior: Posterior) -> Tensor:
    """KL(q(z | x), N(0, I)) of each image and latent in nats, (B, Z): Kingma & Welling 2014, appendix B.

    In float32 at least: squares of means and exp(logvar) lose their small differences in bfloat16."""
    mean, logvar = (part if part.dtype == torch.float64 else part.float() for part in posterior)
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar)


class Prior(Protocol):
    """p(z), as a value: `VAE.prior` is it at the weights of the moment."""

    @property
    def has_closed_form(self) -> bool:
        """Whether `rate` is the KL itself, and a sum over latents; else it is an estimate of one sample."""
        ...

    def log_prob(self, z_BZ: Tensor) -> Tensor:
        """Log p(z), (..., Z) -> (...)."""
        ...

    def log_ratio(self, posterior: Posterior, noise_BZ: Tensor) -> Tensor:
        """Log p(z) - log q(z | x) of the sample that the noise makes of each image's posterior, (..., B, Z) ->
        (..., B): on average minus the KL."""
        ...

    def rate(self, posterior: Posterior, noise_BZ: Tensor) -> Tensor:
        """KL(q(z | x), p(z)) of each image, (B,): exactly, or where it has no closed form as `log_ratio` has it, of the
        very sample that the decoder is given."""
        ...

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Codes, (count, Z), by a generator of the CPU: the same on every device, up to its rounding."""
        ...


class StandardNormal(NamedTuple):
    """N(0, I)."""

    latent_dim: int

    @property
    def has_closed_form(self) -> bool:
        """See `Prior`."""
        return True

    def log_prob(self, z_BZ: Tensor) -> Tensor:
        """See `Prior`."""
        return -0.5 * (z_BZ.square() + _LOG_TWO_PI).sum(-1)

    def log_ratio(self, posterior: Posterior, noise_BZ: Tensor) -> Tensor:
        """See `Prior`: the constants of the two Gaussians cancel."""
        return 0.5 * (noise_BZ.square() - posterior.sample(noise_BZ).square() + posterior.logvar).sum(-1)

    def rate(self, posterior: Posterior, noise_BZ: Tensor) -> Tensor:  # noqa: ARG002
        """See `Prior`: the closed form."""
        return kl_per_latent(posterior).sum(1)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """See `Prior`; on the CPU."""
        return torch.randn(count, self.latent_dim, generator=generator)


class VampPrior(NamedTuple):
    """The mixture 1/K sum_k q(z | u_k) of the posteriors of K learnt pseudo-inputs u (Tomczak & Welling 2018, "VAE with
    a VampPrior", AISTATS, arXiv:1705.07120, equation 9)."""

    components: Posterior  # (K, Z)

    @property
    def has_closed_form(self) -> bool:
        """See `Prior`."""
        return False

    def log_prob(self, z_BZ: Tensor) -> Tensor:
        """See `Prior`. The differences are squared as they are: multiplied out, they would lose their digits where a
        component is narrow."""
        mean, logvar = self.components
        rows = z_BZ.reshape(-1, 1, z_BZ.shape[-1])
        parts = [
            -0.5 * ((part - mean).square() * torch.exp(-logvar) + logvar + _LOG_TWO_PI).sum(2)
            for part in rows.split(max(1, _AT_ONCE // mean.numel()))
        ]
        return (torch.cat(parts).logsumexp(1) - math.log(len(mean))).view(z_BZ.shape[:-1])

    def log_ratio(self, posterior: Posterior, noise_BZ: Tensor) -> Tensor:
        """See `Prior`."""
        return self.log_prob(posterior.sample(noise_BZ)) - posterior.log_prob(noise_BZ)

    def rate(self, posterior: Posterior, noise_BZ: Tensor) -> Tensor:
        """See `Prior`: an estimate."""
        return -self.log_ratio(posterior, noise_BZ)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """See `Prior`; where the components are."""
        chosen = torch.randint(len(self.components.mean), (count,), generator=generator)
        noise = torch.randn(count, self.components.mean.shape[1], generator=generator)
        device = self.components.mean.device
        return Posterior(*(part[chosen.to(device)] for part in self.components)).sample(noise.to(device))


class PseudoInputs(nn.Module):
    """K learnt images, of pixels in [0, 1] as those that are encoded."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        # each another around grey: equal ones would be one component, and have one gradient
        self.logits = nn.Parameter(_SPREAD * torch.randn(config.pseudo_inputs, *config.image_shape))

    def forward(self) -> Tensor:
        """(K, C, H, W)."""
        return torch.sigmoid(self.logits)
