"""The variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114; Rezende et al. 2014, arXiv:1401.4082).

Shapes: B images of C x H x W, Z latents. Images are floats in [0, 1].
"""

from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vae_models.blocks import Conditioned, Films, Layers, NormAct, ResidualBlock, UpConv, conv, dense, modulated
from vae_models.config import ModelConfig
from vae_models.likelihoods import likelihood_of
from vae_models.multi_rate import Conditioning, sites
from vae_models.priors import Posterior, Prior, PseudoInputs, StandardNormal, VampPrior

LOGVAR_BOUND = 12.0  # log-variances stay within +-12: exp(12) and exp(-12) are safe in float32 and bfloat16 alike


class Pass(NamedTuple):
    """What the loss needs of one stochastic pass, all of it computed within the model's `forward`: what runs there as
    one function, or shares gradients among processes, sees every parameter."""

    output: Tensor  # of the decoder, (B, P C, H, W); of K samples an image (K B, P C, H, W), sample by sample
    posterior: Posterior
    prior: Prior


class VAE_Encoder(nn.Module):
    """Images (B, C, H, W) in [0, 1] -> `Posterior`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        layers, features = _encoding_layers(config)
        self.features = Layers(*layers)
        self.mean = Conditioned(features, config.latent_dim)
        self.logvar = Conditioned(features, config.latent_dim)

    def forward(self, x: Tensor, films: Films | None = None) -> Posterior:
        """As the class says."""
        features = self.features(2 * x - 1, films)
        mean, logvar = self.mean(features, films).float(), self.logvar(features, films).float()
        # tanh, not clamp: a clamped log-variance has no gradient and never comes back
        return Posterior(mean, LOGVAR_BOUND * torch.tanh(logvar / LOGVAR_BOUND))


class VAE_Decoder(nn.Module):
    """Latents (B, Z) -> the likelihood's unbounded output, (B, P C, H, W)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = Layers(*_decoding_layers(config))

    def forward(self, z_BZ: Tensor, films: Films | None = None) -> Tensor:
        """As the class says."""
        output: Tensor = self.layers(modulated(z_BZ, films), films)
        return output.float()


def _encoding_layers(config: ModelConfig) -> tuple[list[nn.Module], int]:
    """From the image, (B, C, H, W), to features, (B, F), and how many they are."""
    act = config.activation
    if config.architecture != "convolutional":
        widths = (config.dimensions, *config.hidden_widths)
        return [nn.Flatten(), *dense(widths, act)], widths[-1]
    layers: list[nn.Module] = []
    channels = config.image_shape[0]
    for width in config.encoder_widths:
        layers += [conv(channels, width, stride=2), NormAct(width, act)]
        layers += [ResidualBlock(width, act) for _ in range(config.depth)]
        channels = width
    if config.bottom_width != channels:
        layers += [conv(channels, config.bottom_width), NormAct(config.bottom_width, act)]
    layers += [ResidualBlock(config.bottom_width, act) for _ in range(config.depth)]
    return [*layers, nn.Flatten()], config.bottom_width * config.bottom[0] * config.bottom[1]


def _decoding_layers(config: ModelConfig) -> list[nn.Module]:
    """From latents, (B, Z), to the output, (B, P C, H, W)."""
    act, outputs = config.activation, likelihood_of(config).outputs
    if config.architecture != "convolutional":
        widths = (config.latent_dim, *reversed(config.hidden_widths))
        channels, *sides = config.image_shape
        last = nn.Linear(widths[-1], outputs * config.dimensions)
        return [*dense(widths, act), last, nn.Unflatten(1, (outputs * channels, *sides))]
    channels = config.bottom_width
    layers: list[nn.Module] = [
        nn.Linear(config.latent_dim, channels * config.bottom[0] * config.bottom[1]),
        nn.Unflatten(1, (channels, *config.bottom)),
        NormAct(channels, act),
    ]
    layers += [ResidualBlock(channels, act) for _ in range(config.depth)]
    for width in config.decoder_widths:
        if width != channels:
            layers += [UpConv(channels, width), NormAct(width, act)]
        else:
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
        layers += [ResidualBlock(width, act) for _ in range(config.depth)]
        channels = width
    if isinstance(layers[-1], nn.Upsample):
        return [*layers[:-1], UpConv(channels, outputs * config.image_shape[0])]
    # what blocks add up has no bound of its own: without a norm the output saturates in a few steps
    # of a high learning rate, all of an image turns black, and no gradient leads back
    layers += [NormAct(channels, act)] if config.depth else []
    return [*layers, conv(channels, outputs * config.image_shape[0])]


class VAE_EncoderPP(VAE_Encoder):
    """The encoder at depth 1, whatever the config's depth. Raises: pydantic.ValidationError where it can have none."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(ModelConfig.model_validate(config.model_dump() | {"depth": 1}))


class VAE_DecoderPP(VAE_Decoder):
    """The decoder at depth 1, whatever the config's depth. Raises: pydantic.ValidationError where it can have none."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(ModelConfig.model_validate(config.model_dump() | {"depth": 1}))


class VAE(nn.Module):
    """Encoder, decoder, likelihood and prior of one `ModelConfig`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = VAE_Encoder(config)
        self.decoder = VAE_Decoder(config)
        self.likelihood = likelihood_of(config)
        self.conditioning: Conditioning | None = None
        if config.multi_rate:
            channels = [site.channels for site in sites(self.encoder, self.decoder)]
            self.conditioning = Conditioning(config, channels)
        self.pseudo_inputs = PseudoInputs(config) if config.prior == "vamp" else None

    def forward(self, x: Tensor, noise_BZ: Tensor, beta_B: Tensor | None = None) -> Pass:
        """One stochastic pass. x: (B, C, H, W) in [0, 1], noise: (B, Z) ~ N(0, I), or (K, B, Z) for K samples of each
        image's posterior, made by the caller so that a run is a function of its seed; of a multi-rate network the KL
        weight of each image, (B,)."""
        if beta_B is None:
            self._refuse_without_a_weight()
        elif self.conditioning is None:
            raise ValueError("a network for one KL weight is given none")
        films = self.conditioning(beta_B) if self.conditioning else None
        posterior = self.encoder(x, films)
        return Pass(self.decoder(posterior.sample(noise_BZ).flatten(0, -2), films), posterior, self.prior())

    def prior(self) -> Prior:
        """p(z) at the weights of the moment; a VampPrior encodes its pseudo-inputs for it."""
        if self.pseudo_inputs is None:
            return StandardNormal(self.config.latent_dim)
        return VampPrior(self.encoder(self.pseudo_inputs()))

    def at(self, beta: float) -> "VAE":
        """A multi-rate network at one KL weight: a plain VAE of the same layers, with weights of its own. Raises:
        ValueError beyond the config's ``beta_range``, or where this is no multi-rate network."""
        low, high = self.config.beta_range
        if self.conditioning is None:
            raise ValueError("only a multi-rate network has a view at a KL weight; this one was trained at its own")
        is_number = isinstance(beta, Real) and not isinstance(beta, bool)
        if not (is_number and low <= beta <= high):
            rule = f"beta must be a number within the network's beta_range, {low:g} to {high:g}"
            raise ValueError(f"{rule}, got {beta if is_number else repr(beta)}")
        with torch.device("meta"):
            plain = VAE(self.config.plain)
        own = {name: weight.detach().clone() for name, weight in self.state_dict().items()}
        plain.load_state_dict({name: own[name] for name in plain.state_dict()}, assign=True)
        weight = own["conditioning.films.weight"]
        with torch.no_grad():
            films = self.conditioning(torch.full((1,), beta, device=weight.device, dtype=weight.dtype))
        for site, film in zip(sites(plain.encoder, plain.decoder), films, strict=True):
            site.fold(film[0])
        return plain.train(self.training).requires_grad_(False)

    def _refuse_without_a_weight(self) -> None:
        """Raises: ValueError where this is a multi-rate network."""
        if self.conditioning is not None:
            raise ValueError("a multi-rate network is used at one KL weight: take model.at(beta)")

    def encode(self, x: Tensor) -> Posterior:
        """Images (B, C, H, W) in [0, 1] -> q(z | x)."""
        self._refuse_without_a_weight()
        posterior: Posterior = self.encoder(x)
        return posterior

    def decode(self, z_BZ: Tensor) -> Tensor:
        """Latents (B, Z) -> images (B, C, H, W) in [0, 1]."""
        self._refuse_without_a_weight()
        return self.likelihood.mean(self.decoder(z_BZ)).clamp(0, 1)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images -> what the decoder makes of their posterior means; (B, C, H, W) in [0, 1]."""
        return self.decode(self.encode(x).mean)

    def sample(self, count: int, seed: int = 0) -> Tensor:
        """``count`` images (count, C, H, W) decoded from the prior, the same for the same seed."""
        codes = self.prior().sample(count, torch.Generator().manual_seed(seed))
        return self.decode(codes.to(next(self.parameters()).device))


def parameter_count(config: ModelConfig) -> int:
    """How many numbers training sets; nothing of that size is allocated."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in VAE(config).parameters())


def build_vae(vae_mode: str = "plain", **fields: Any) -> VAE:
    """A VAE by keywords: ``build_vae("pp", latent_dim=64)``. "plain" is depth 0 and "pp" depth 1, unless ``depth`` is
    given; the other keywords are `ModelConfig`'s fields. Raises: ValueError for another mode, or a refused field."""
    depths = {"plain": 0, "pp": 1}
    if vae_mode not in depths:
        raise ValueError(f"vae_mode must be one of {', '.join(depths)}, got {vae_mode!r}")
    return VAE(ModelConfig(**({"depth": depths[vae_mode]} | fields)))
