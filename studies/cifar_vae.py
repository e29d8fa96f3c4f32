"""CIFAR-10: how KL weight, latent size and depth trade rate against distortion on small colour photographs.

The full-width network wants GPUs: on a laptop's cores it takes days. `--dry-run` says how long it takes here, and
so does the command where there is no GPU, before it begins, with a smaller study to copy.
"""

if __name__ == "__main__":
    from trainables.interrupts import end_at_once

    end_at_once()  # at Ctrl-C, while all else is imported

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from studies.command_line.command import main
from studies.study import Study
from trainables.config import TrialConfig
from vae_models import ModelConfig

STUDY = Study(
    name="cifar_vae",
    base=TrialConfig(
        dataset="cifar10", model=ModelConfig(image_shape=(3, 32, 32), width=64), epochs=20, batch_size=128, lr=1e-3
    ),
    space={
        "beta": FloatDistribution(0.05, 5.0, log=True),
        "model.latent_dim": CategoricalDistribution((32, 64, 128, 256, 512)),
        "model.depth": IntDistribution(0, 2),
    },
    trials=48,
    final_epochs=60,
)

if __name__ == "__main__":
    main(STUDY)
