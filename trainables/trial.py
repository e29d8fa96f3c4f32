"""The Tune trainable: hands its job to a free slot and passes every report on."""

from __future__ import annotations

from typing import Any

import ray
from ray import tune

TRIAL_RESOURCES = {"node:__internal_head__": 0.001}
"""A Tune trial only waits for its slot, which has the CPUs and GPUs: it takes none of its own."""


def tune_trial(config: dict[str, Any]) -> None:
    """Report each epoch's row, as ``rows``; a failed job reports its ``cause`` last."""
    mailbox, job = config["mailbox"], config["job"]
    ray.get(mailbox.submit.remote(job))
    seen = 0
    try:
        while True:
            news = ray.get(mailbox.news.remote(job.id, seen))
            if news.rows:
                tune.report({"rows": news.rows})
            seen += len(news.rows)
            if news.ended:
                if news.cause is not None:
                    tune.report({"cause": news.cause})
                return
    finally:
        # Tune ends a pruned trial with SystemExit in report(). Do not wait for the slot, which may be deep
        # in an epoch: Tune would give this actor up. The next job queues for it
        mailbox.cancel.remote(job.id)
