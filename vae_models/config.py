"""What a VAE is, as a frozen value that rejects nonsense where it is made."""

import math
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

MIN_BOTTOM = 4  # halving stops before the smaller side of the feature map would fall below this many positions
OWNED: dict[str, tuple[str, tuple[str, ...]]] = {
    "depth": ("architecture", ("convolutional",)),
    "width": ("architecture", ("convolutional",)),
    "widths": ("architecture", ("mlp",)),
    "activation": ("architecture", ("convolutional", "mlp")),
    "components": ("likelihood", ("logistic_mixture",)),
    "learnt_sigma": ("likelihood", ("discretised_gaussian",)),
    "pseudo_inputs": ("prior", ("vamp",)),
}
"""A field that only some choices of another have -> that other, its owner, and the choices; with others it stays at its
default."""

_Weight = Annotated[float, Field(strict=True)]  # true is no number

CONSTANTS = {"gaussian": 0.5 * math.log(2 * math.pi), "laplace": math.log(2)}
"""What distortion under each likelihood holds whatever the model, nats per dimension; under the others nothing."""
_Density = Literal["gaussian", "laplace", "optimal_gaussian", "continuous_bernoulli"]
_OfBinaryPixels = Literal["bernoulli"]
_OfLevels = Literal["discretised_logistic", "logistic_mixture", "beta_binomial", "discretised_gaussian"]


class ModelConfig(BaseModel):
    """Architecture and likelihood of one VAE. Raises: pydantic.ValidationError (a ``ValueError``), which names the
    field, the rule and the value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_shape: tuple[int, int, int] = (1, 28, 28)  # channels, height, width of an image
    # linear: an affine map each way, whose output is the mean itself; mlp: hidden layers each way, and tanh at its end
    architecture: Literal["convolutional", "linear", "mlp"] = "convolutional"
    latent_dim: int = Field(32, ge=1, le=65_536)  # number of latent dimensions
    depth: int = Field(0, ge=0, le=16)  # residual blocks at each resolution: 0 is the plain network, 1 its "PP" mode
    # channels at the first resolution; each halving of the image doubles them
    width: int = Field(32, ge=4, le=1024, multiple_of=4)
    # of an mlp's hidden layers, from the image to the latents; the decoder has them in reverse
    widths: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field((500,), min_length=1, max_length=16)
    # gated: of dense layers alone, each unit times the sigmoid of another map of the same inputs
    activation: Literal["silu", "leaky_relu", "relu", "tanh", "gated"] = "silu"
    likelihood: Literal[_Density, _OfBinaryPixels, _OfLevels] = "gaussian"  # see `vae_models.likelihoods`
    components: int = Field(5, ge=1, le=100)  # of a logistic_mixture
    learnt_sigma: Literal["one", "channel", "pixel"] = "one"  # of a discretised_gaussian: how many are learnt
    # how grey pixels become binary ones: drawn anew at each step of training, drawn once, or white above half
    binarise: Literal["none", "dynamic", "fixed", "threshold"] = "none"
    prior: Literal["standard_normal", "vamp"] = "standard_normal"  # see `vae_models.priors`
    pseudo_inputs: int = Field(500, ge=1, le=65_536)  # of a vamp prior: the components of its mixture
    # one network for every KL weight of the range: see `vae_models.multi_rate`
    multi_rate: bool = False
    beta_range: tuple[_Weight, _Weight] = (0.1, 10.0)

    @model_validator(mode="after")
    def _rates_are_in_order(self) -> "ModelConfig":
        low, high = self.beta_range
        if not 1e-6 <= low < high <= 1e6:
            rule = "beta_range must be two KL weights from 0.000001 to 1,000,000, the lower first"
            raise ValueError(f"{rule}, got {low:g} and {high:g}")
        if self.multi_rate and self.is_binary:
            raise ValueError(f"binarise must be none with multi_rate, got {self.binarise}")
        if self.multi_rate and self.likelihood != "gaussian":  # its KL weights are compared by a closed form of that
            raise ValueError(f"likelihood must be gaussian with multi_rate, got {self.likelihood}")
        if self.multi_rate and self.prior != "standard_normal":  # so is its rate
            raise ValueError(f"prior must be standard_normal with multi_rate, got {self.prior}")
        if not self.multi_rate and self.beta_range != self.default("beta_range"):
            raise ValueError(f"beta_range must be left out without multi_rate, got {low:g} and {high:g}")
        return self

    @model_validator(mode="after")
    def _likelihood_is_of_the_pixels(self) -> "ModelConfig":
        if self.is_binary and self.likelihood not in get_args(_OfBinaryPixels):
            rule = f"likelihood must be bernoulli with binarise {self.binarise}, whose pixels are 0 or 1"
            raise ValueError(f"{rule}, got {self.likelihood}\nset likelihood to bernoulli, or binarise to none")
        return self

    @model_validator(mode="after")
    def _fields_are_of_their_owners(self) -> "ModelConfig":
        for name, (owner, choices) in OWNED.items():
            value, default, chosen = getattr(self, name), self.default(name), getattr(self, owner)
            if chosen not in choices and value != default:
                rule = f"{name} must be {default} with {owner} {chosen}, which has none"
                raise ValueError(f"{rule}, got {value}\nset {owner} to {' or '.join(choices)}, or leave {name} out")
        if self.activation == "gated" and self.architecture != "mlp":
            rule = f"activation must be silu, leaky_relu, relu or tanh with architecture {self.architecture}"
            raise ValueError(f"{rule}, got gated, which is mlp's")
        return self

    @model_validator(mode="after")
    def _image_fits(self) -> "ModelConfig":
        channels, height, width = self.image_shape
        if channels < 1:
            raise ValueError(f"image_shape must have at least 1 channel, got {self.image_shape}")
        convolutional = self.architecture == "convolutional"
        least = 2 * MIN_BOTTOM if convolutional else 1
        if min(height, width) < least:
            raise ValueError(f"image_shape must be at least {least} pixels a side, got {height} x {width}")
        step = 2**self.halvings if convolutional else 1
        if height % step or width % step:
            of = f"multiples of {step}, as from {step * MIN_BOTTOM} to {2 * step * MIN_BOTTOM - 1} pixels they halve"
            rule = f"image_shape must have sides that are {of} {self.halvings} times"
            lower = min(height, width) // step * step
            raise ValueError(f"{rule}, got {height} x {width}\nthe nearest that are: {lower} and {lower + step}")
        return self

    @classmethod
    def default(cls, name: str) -> Any:
        """Of a field, by its name."""
        return cls.model_fields[name].default

    @property
    def plain(self) -> "ModelConfig":
        """The same network for one KL weight."""
        return type(self).model_validate(self.model_dump(exclude={"multi_rate", "beta_range"}))

    @property
    def halvings(self) -> int:
        """How often the encoder halves the image: 28 -> 14 -> 7 is two, 32 -> 16 -> 8 -> 4 is three."""
        return (min(self.image_shape[1:]) // MIN_BOTTOM).bit_length() - 1

    @property
    def bottom(self) -> tuple[int, int]:
        """Height and width of the smallest feature map."""
        return self.image_shape[1] >> self.halvings, self.image_shape[2] >> self.halvings

    @property
    def encoder_widths(self) -> list[int]:
        """Channels after each halving."""
        return [self.width << level for level in range(self.halvings)]

    @property
    def bottom_width(self) -> int:
        """Channels of the smallest map. One below 6 x 6 has few positions left and doubles its channels."""
        last = self.encoder_widths[-1]
        return 2 * last if self.bottom[0] * self.bottom[1] < 36 else last

    @property
    def decoder_widths(self) -> list[int]:
        """Channels after each doubling of the decoder's map, on the way back to the image."""
        return [max(self.bottom_width >> (level + 1), self.width) for level in range(self.halvings)]

    @property
    def distortion_constant(self) -> float:
        """What of the distortion no model changes, nats per image."""
        return CONSTANTS.get(self.likelihood, 0.0) * self.dimensions

    @property
    def prior_words(self) -> str:
        """The prior for people: "prior N(0, I)", "VampPrior's 500 components"."""
        known = {"standard_normal": "prior N(0, I)", "vamp": f"VampPrior's {self.pseudo_inputs:,} components"}
        return known.get(self.prior, f"{self.prior} prior")

    @property
    def is_binary(self) -> bool:
        """Whether its images are, made so by ``binarise``."""
        return self.binarise != "none"

    @property
    def likelihood_words(self) -> str:
        """The likelihood for people: "optimal Gaussian", "beta binomial"."""
        return self.likelihood.replace("_", " ").replace("gaussian", "Gaussian").replace("bernoulli", "Bernoulli")

    @property
    def density_words(self) -> str:
        """Likelihood and prior for people, with what they have: "logistic mixture likelihood of 5 components,
        VampPrior's 20 components"; of the standard normal prior nothing."""
        sigma = "one sigma" if self.learnt_sigma == "one" else f"a sigma for each {self.learnt_sigma}"
        has = {"logistic_mixture": f" of {self.components} components", "discretised_gaussian": f" with {sigma}"}
        prior = "" if self.prior == "standard_normal" else f", {self.prior_words}"
        return f"{self.likelihood_words} likelihood{has.get(self.likelihood, '')}{prior}"

    @property
    def has_exact_likelihood(self) -> bool:
        """Whether it is a probability of pixels as they are, and no density: see `vae_models.likelihoods`."""
        return self.likelihood in get_args(_OfLevels) or self.is_binary

    @property
    def reads_grey_as_binary(self) -> bool:
        """Whether its likelihood is of binary pixels, and its images are not: then it is the likelihood of nothing."""
        return self.likelihood in get_args(_OfBinaryPixels) and not self.is_binary

    @property
    def held_out_pixels(self) -> Literal["none", "fixed", "threshold"]:
        """The ``binarise`` of images that no training sees: those that it draws anew at each step are one draw there.
        Two models of the same images can be compared where this is the same."""
        return "fixed" if self.binarise == "dynamic" else self.binarise

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Of the hidden layers of an encoder without convolutions: a linear one has none."""
        return self.widths if self.architecture == "mlp" else ()

    @property
    def layers(self) -> str:
        """What the networks are made of, for people: "depth 1, width 32", "linear", "mlp of widths 500, 200"."""
        if self.architecture == "convolutional":
            return f"depth {self.depth}, width {self.width}"
        return f"mlp of widths {', '.join(map(str, self.widths))}" if self.hidden_widths else self.architecture

    @property
    def dimensions(self) -> int:
        """Numbers in one image: channels x height x width."""
        return math.prod(self.image_shape)
