"""scikit-learn's 1,797 handwritten digits: a real study in minutes on a laptop, without a download."""

if __name__ == "__main__":
    from trainables.interrupts import end_at_once

    end_at_once()  # at Ctrl-C, while all else is imported

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from studies.command_line.command import main
from studies.study import Study
from trainables.config import TrialConfig
from vae_models import ModelConfig

STUDY = Study(
    name="digits_vae",
    base=TrialConfig(
        dataset="digits", model=ModelConfig(image_shape=(1, 28, 28), width=16), epochs=8, batch_size=64, lr=4e-3
    ),
    space={
        "beta": FloatDistribution(0.05, 5.0, log=True),
        "model.latent_dim": CategoricalDistribution((2, 4, 8, 16, 32)),
        "model.depth": IntDistribution(0, 1),
    },
    trials=12,
    final_epochs=20,
)

if __name__ == "__main__":
    main(STUDY)
