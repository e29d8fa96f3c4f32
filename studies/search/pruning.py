"""Pruning at a trial's own price: each trial is judged by D + beta R at its own KL weight, so that a cheap code
competes with cheap codes, and a study keeps the whole front that it was asked for.

The verdicts are a function of the recorded rows alone.
"""

from collections import defaultdict
from contextlib import suppress

import numpy as np

from studies.record.ledger import Trials
from studies.record.study_folder import StudyFolder
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.trial_folder import TrialFolder

FEWEST_PEERS = 5
"""Other trials with a row of an epoch, from which a trial is judged there."""


def is_judged(epoch: int, config: TrialConfig) -> bool:
    """Whether a trial is judged at the end of an epoch, counted from 1: at 1, 2, 4, 8, ..., never at its last, and not
    while its KL weight rises."""
    return _is_power_of_two(epoch) and config.kl_warmup * config.epochs <= epoch < config.epochs


def _is_power_of_two(epoch: int) -> bool:
    return epoch & (epoch - 1) == 0


def costs_too_much(index: int, beta: float, distortions: np.ndarray, rates: np.ndarray, quantile: float) -> bool:
    """Whether D + beta R of one of N trials lies strictly above the ``quantile`` (linear interpolation) of all N at the
    same ``beta``, its own; never among 5 or fewer.

    Args:
        index: of the judged one among them.
        beta: its KL weight.
        distortions, rates: (N,), nats per image, of all trials at the same epoch; what is not finite is no peer's.
        quantile: in (0, 1).
    """
    prices = distortions + beta * rates
    peers = prices[np.isfinite(prices)]
    return len(peers) > FEWEST_PEERS and bool(prices[index] > np.quantile(peers, quantile))


class Peers:
    """The judged epochs of a study's trials in any state, by epoch; trials of another likelihood are no peers, as their
    distortions cannot be compared. ``quantile``: see `costs_too_much`; 0 prunes nothing."""

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._rows: dict[tuple[int, str], dict[int, tuple[float, float]]] = defaultdict(dict)

    @classmethod
    def recorded(cls, trials: Trials, folder: StudyFolder) -> "Peers":
        """As the records of a study say; those that cannot be read are no peers."""
        peers = cls(trials.plan.prune if trials.plan.base.definitions > 1 else 0.0)
        for trial in trials.all() if peers._quantile else ():
            with suppress(UserError, KeyError, TypeError, ValueError):
                record = TrialFolder(folder.layout.trial(trial.number))
                config = record.config()
                for row in record.rows():
                    peers.add(trial.number, config, row)
        return peers

    def add(self, trial: int, config: TrialConfig, row: Metrics) -> None:
        """Take what a trial had at an epoch."""
        epoch = int(row["epoch"])
        if _is_power_of_two(epoch):  # no other is asked for
            measured = float(row["val_distortion"]), float(row["val_rate"])
            if config.model.multi_rate:  # its one value, whatever the price
                measured = float(row["val_relative_loss"]), 0.0
            self._rows[epoch, config.model.likelihood][trial] = measured

    def judge(self, epoch: int, config: TrialConfig) -> bool:
        """Whether they may prune a trial at the end of an epoch."""
        return bool(self._quantile) and is_judged(epoch, config)

    def prune(self, trial: int, config: TrialConfig, row: Metrics) -> bool:
        """Whether a trial is to be pruned at an epoch that was added."""
        epoch = int(row["epoch"])
        if not self.judge(epoch, config):
            return False
        rows = self._rows[epoch, config.model.likelihood]
        distortions, rates = np.array(list(rows.values())).T
        return costs_too_much(list(rows).index(trial), config.beta, distortions, rates, self._quantile)
