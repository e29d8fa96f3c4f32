"""The Tune trainable: hands its job over to a slot and passes every report on."""

from typing import Any

import ray
from ray import tune

from trainables.slots.mailbox import IDLE_SECONDS
from trainables.slots.messages import News

# a Tune trial only waits for its slot, which has the CPUs and GPUs: it takes none of its own
TRIAL_RESOURCES = {"node:__internal_head__": 0.001}


def tune_trial(config: dict[str, Any]) -> None:
    """Report each epoch's row, as ``rows``, and the slots that were given the job, as ``assignments``; how it ended,
    if not well, comes last as ``news``. A mailbox that is silent for ``patience`` seconds counts as lost."""
    mailbox, job, patience = config["mailbox"], config["job"], config["patience"]
    news = News([])
    try:
        while not news.ended:
            job = job.after(len(news.rows), len(news.assignments))
            try:
                news = ray.get(mailbox.news.remote(job), timeout=IDLE_SECONDS + patience)
            except ray.exceptions.GetTimeoutError:
                cause = f"the mailbox did not answer for {patience:.0f} s"
                news = News([], ended=True, cause=cause, lost=True)
            if news.rows or news.assignments:
                tune.report({"rows": news.rows, "assignments": news.assignments})
        if news.cause is not None:
            tune.report({"news": news})
    finally:
        # Tune ends a pruned trial with SystemExit in report(). Do not wait for the slot, which may be deep
        # in an epoch: Tune would give this actor up. The next job queues for it
        mailbox.cancel.remote(job.id)
