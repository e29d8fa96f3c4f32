"""Published figures of variational autoencoders, and ours by the same protocols: without a name they are listed."""

from optuna.distributions import FloatDistribution

from studies.yardstick.command import main
from studies.yardstick.declaration import Figure, Yardstick, variant
from trainables.config import TrialConfig
from vae_models import ModelConfig

_BB_ANS = "Townsend, Bird & Barber 2019, BB-ANS, ICLR: the weights in their repository, on these test files"
_BIT_SWAP = "Kingma, Abbeel & Ho 2019, Bit-Swap, ICML"

LINEAR_MNIST = Yardstick(
    name="linear_mnist",
    protocol="linear Gaussian VAEs with 32 latents at ten KL weights, a training each, measured on the 18,000 MNIST "
    "images that each was trained on, against reverse water-filling of the same images (centred by their own mean)",
    departures="the 18,000 images are drawn from all of MNIST's training images, and not from the first 20,000",
    variants=(
        variant(
            "linear_mnist",
            TrialConfig(
                dataset="mnist",
                limit_train=18_000,
                model=ModelConfig(architecture="linear", latent_dim=32),
                epochs=60,
                batch_size=64,
                lr=5e-3,
            ),
            Figure(
                quantity="excess",
                title="D + beta R over the closed form, the furthest of ten",
                unit="share",
                published=0.0,
                tolerance=0.01,
                source="Cover & Thomas 2006, theorem 10.3.3; Lucas et al. 2019, arXiv:1911.02469",
            ),
            space={"beta": FloatDistribution(0.1, 20.0, log=True)},
            trials=10,
        ),
    ),
    measure="water_filling",
    has_seeds=False,
    quick_fields={"epochs": 8},
)

MNIST_GREY = Yardstick(
    name="mnist_grey",
    protocol="beta-binomial likelihood of 256 grey levels, MLP of 200 hidden units each way, 50 latents; Adam 5e-4, "
    "batches of 100, 20 epochs; the ELBO and the importance-weighted bound by 20 samples of all 10,000 test images",
    departures="no batch normalisation; 1,000 of the 60,000 training images choose the epoch",
    variants=(
        variant(
            "mnist_grey",
            TrialConfig(
                dataset="mnist",
                held_out=1 / 60,
                model=ModelConfig(
                    architecture="mlp", widths=(200,), latent_dim=50, activation="relu", likelihood="beta_binomial"
                ),
                epochs=20,
                batch_size=100,
                lr=5e-4,
                optimizer="adam",
                schedule="constant",
            ),
            Figure(quantity="nelbo", title="-ELBO", unit="bits/dim", published=1.391, source=_BB_ANS),
            Figure(quantity="nll", title="-log p(x), 20 samples", unit="bits/dim", published=1.371, source=_BB_ANS),
        ),
    ),
    measure="bits",
    samples=20,
)

FASHION_GREY = Yardstick(
    name="fashion_grey",
    protocol="discretised logistic likelihood of 256 grey levels, convolutional network of depth 1 with 64 latents, 60 "
    "epochs; the ELBO of all 10,000 test images",
    departures="the published models are hierarchies of latents: of one vector of them no figure was found",
    variants=(
        variant(
            "fashion_grey",
            TrialConfig(
                dataset="fashion_mnist",
                model=ModelConfig(latent_dim=64, depth=1, likelihood="discretised_logistic"),
                epochs=60,
            ),
            Figure(quantity="nelbo", title="-ELBO", unit="bits/dim", published=3.28, source=_BIT_SWAP, is_target=False),
        ),
    ),
    measure="bits",
)

CIFAR10_COLOUR = Yardstick(
    name="cifar10_colour",
    protocol="discretised logistic likelihood of 256 levels of each colour, convolutional network of depth 2 with 256 "
    "latents, 100 epochs; the ELBO of all 10,000 test images",
    departures="the published models are hierarchies of latents: of one vector of them no figure was found",
    variants=(
        variant(
            "cifar10_colour",
            TrialConfig(
                dataset="cifar10",
                model=ModelConfig(
                    image_shape=(3, 32, 32), latent_dim=256, depth=2, width=64, likelihood="discretised_logistic"
                ),
                epochs=100,
            ),
            Figure(
                quantity="nelbo",
                title="-ELBO",
                unit="bits/dim",
                published=3.83,
                published_to=3.78,
                source=f"{_BIT_SWAP}: 2 to 8 layers of latents",
                is_target=False,
            ),
        ),
    ),
    measure="bits",
)

YARDSTICKS = {each.name: each for each in (LINEAR_MNIST, MNIST_GREY, FASHION_GREY, CIFAR10_COLOUR)}

if __name__ == "__main__":
    main(YARDSTICKS)
