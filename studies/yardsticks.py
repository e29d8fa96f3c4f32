"""Published figures of variational autoencoders, and ours by the same protocols: without a name they are listed."""

if __name__ == "__main__":
    from trainables.interrupts import end_at_once

    end_at_once()  # at Ctrl-C, while all else is imported

from optuna.distributions import FloatDistribution

from studies.yardstick.command import main
from studies.yardstick.declaration import Figure, Variant, Yardstick, variant
from trainables.config import TrialConfig
from vae_models import ModelConfig

_BB_ANS = "Townsend, Bird & Barber 2019, BB-ANS, ICLR: the weights in their repository, on these test files"
_EXEMPLAR = "Norouzi, Fleet & Norouzi 2020, Exemplar VAE, NeurIPS, arXiv:2004.04795: its table, of this network"
_IWAE = "Burda, Grosse & Salakhutdinov 2016, ICLR, arXiv:1509.00519, table 1"
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
    protocol="beta-binomial likelihood of 256 grey levels, MLP of 200 hidden units each way, 50 latents; Adam, "
    "batches of 100, 20 epochs; the ELBO and the importance-weighted bound by 20 samples of all 10,000 test images",
    departures="no batch normalisation, and a learning rate that falls from 2e-3 by a cosine, where theirs stays at "
    "5e-4; 1,000 of the 60,000 training images choose the epoch",
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
                lr=2e-3,
                optimizer="adam",
            ),
            Figure(quantity="nelbo", title="-ELBO", unit="bits/dim", published=1.391, source=_BB_ANS),
            Figure(quantity="nll", title="-log p(x), 20 samples", unit="bits/dim", published=1.371, source=_BB_ANS),
        ),
    ),
    measure="bits",
    samples=20,
)


def _dynamic(name: str, dataset: str, normal: tuple[float, float], vamp: tuple[float, float]) -> Yardstick:
    """Binary images drawn anew each time that training sees them, with two priors: (published figure, its deviation)
    of each. Warm-up, patience and lengths are those of the authors' code, sajadn/Exemplar-VAE."""
    base = TrialConfig(
        dataset=dataset,
        held_out=1 / 6,
        model=ModelConfig(
            architecture="mlp",
            widths=(300, 300),
            activation="gated",
            latent_dim=40,
            likelihood="bernoulli",
            binarise="dynamic",
        ),
        epochs=2000,
        kl_warmup=100 / 2000,
        patience=50,
        batch_size=100,
        lr=5e-4,
        optimizer="adam",
        schedule="constant",
    )

    def figure(published: tuple[float, float]) -> Figure:
        value, error = published
        title = "-log p(x), 5,000 samples"
        return Figure(quantity="nll", title=title, unit="nats", published=value, error=error, source=_EXEMPLAR)

    return Yardstick(
        name=name,
        protocol="training images binarised anew each time they are seen, validation and test once; 50,000 train and "
        "10,000 validate; gated MLP of 300 and 300, 40 latents; batches of 100, Adam 5e-4, the KL weight rises over "
        "100 epochs, patience 50, at most 2,000; log-likelihood by 5,000 samples of all 10,000 test images",
        departures="their Adam scales the gradient of each tensor to norm 1 before its moments; their validation set "
        "is the last 10,000 images, and ours has its share of each class; they clip pseudo-inputs, we squash ours",
        variants=(
            variant(f"{name}_normal", base, figure(normal)),
            variant(f"{name}_vamp", base.replace({"model.prior": "vamp", "model.pseudo_inputs": 500}), figure(vamp)),
        ),
        measure="nats",
        samples=5000,
    )


MNIST_DYNAMIC = _dynamic("mnist_dynamic", "mnist", normal=(84.45, 0.12), vamp=(82.43, 0.06))
FASHION_DYNAMIC = _dynamic("fashion_dynamic", "fashion_mnist", normal=(228.70, 0.15), vamp=(227.35, 0.05))


def _iwae(samples: int, published: float) -> Variant:
    """Trained by so many samples of each image's posterior. In the paper's code, yburda/iwae, the learning rates are
    those of the paper rounded to 1e-5, and 400 images are held out."""
    base = TrialConfig(
        dataset="mnist",
        held_out=400 / 60_000,
        model=ModelConfig(
            architecture="mlp",
            widths=(200, 200),
            activation="tanh",
            latent_dim=50,
            likelihood="bernoulli",
            binarise="dynamic",
        ),
        importance_samples=samples,
        epochs=sum(3**stage for stage in range(8)),
        batch_size=20,
        lr=1e-3,
        optimizer="adam",
        schedule="burda",
    )
    title = "-log p(x), 5,000 samples"
    figure = Figure(quantity="nll", title=title, unit="nats", published=published, source=_IWAE)
    return variant(f"mnist_iwae_k{samples}", base, figure)


MNIST_IWAE = Yardstick(
    name="mnist_iwae",
    protocol="one stochastic layer of 50 latents between tanh layers of 200 and 200, trained by the "
    "importance-weighted bound of 1 and of 50 samples; images binarised anew each time they are seen; batches of 20, "
    "Adam, 3^i passes at 1e-3 x 10^(-i/7) for i = 0 to 7; log-likelihood by 5,000 samples of all 10,000 test images",
    departures="their Adam has 1e-4 in its denominator, and in their code 0.99 for the first moment; their decoder "
    "begins with the images' mean; test images are binarised once; of 3,280 epochs the best is kept, not the last",
    variants=(_iwae(1, 86.76), _iwae(50, 84.78)),
    measure="nats",
    samples=5000,
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

_ALL = (LINEAR_MNIST, MNIST_GREY, MNIST_DYNAMIC, FASHION_DYNAMIC, MNIST_IWAE, FASHION_GREY, CIFAR10_COLOUR)
YARDSTICKS = {each.name: each for each in _ALL}

if __name__ == "__main__":
    main(YARDSTICKS)
