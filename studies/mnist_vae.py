"""MNIST: how KL weight, latent size and depth trade rate against distortion on handwritten digits."""

if __name__ == "__main__":
    from trainables.interrupts import end_at_once

    end_at_once()  # at Ctrl-C, while all else is imported

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from studies.command_line.command import main
from studies.study import Study
from trainables.config import TrialConfig
from vae_models import ModelConfig

STUDY = Study(
    name="mnist_vae",
    base=TrialConfig(
        dataset="mnist", model=ModelConfig(image_shape=(1, 28, 28), width=32), epochs=10, batch_size=128, lr=2e-3
    ),
    space={
        "beta": FloatDistribution(0.05, 5.0, log=True),
        "model.latent_dim": CategoricalDistribution((4, 8, 16, 32, 64)),
        "model.depth": IntDistribution(0, 1),
    },
    trials=32,
    final_epochs=30,
)

if __name__ == "__main__":
    main(STUDY)
