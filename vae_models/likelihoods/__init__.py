"""Training likelihoods log p(x | z), behind one small protocol: `protocol.Likelihood`."""

from collections.abc import Callable

from vae_models.config import ModelConfig
from vae_models.likelihoods import binary, continuous, levels
from vae_models.likelihoods.protocol import Likelihood

__all__ = ["LIKELIHOODS", "Likelihood", "likelihood_of"]

LIKELIHOODS: dict[str, Callable[[ModelConfig], Likelihood]] = {**continuous.FAMILY, **binary.FAMILY, **levels.FAMILY}
"""By the name that `ModelConfig.likelihood` has for each: what makes it for a config."""


def likelihood_of(config: ModelConfig) -> Likelihood:
    """That of a config, untrained where it learns something itself."""
    likelihood = LIKELIHOODS[config.likelihood](config)
    likelihood.is_exact = config.has_exact_likelihood
    return likelihood
