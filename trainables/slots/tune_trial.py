"""The Tune trainable: hands its job to a free slot and passes every report on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ray
from ray import tune

from trainables.slots.mailbox import IDLE_SECONDS
from trainables.slots.messages import Job, News

TRIAL_RESOURCES = {"node:__internal_head__": 0.001}
"""A Tune trial only waits for its slot, which has the CPUs and GPUs: it takes none of its own."""


def tune_trial(config: dict[str, Any]) -> None:
    """Report each epoch's row, as ``rows``, and the slots that took the job, as ``takings``; how it ended, if
    not well, comes last as ``news``."""
    mailbox, job = config["mailbox"], config["job"]
    try:
        for news in all_news(mailbox, job, config["patience"]):
            if news.rows or news.takings:
                tune.report({"rows": news.rows, "takings": news.takings})
            if news.ended and news.cause is not None:
                tune.report({"news": news})
    finally:
        # Tune ends a pruned trial with SystemExit in report(). Do not wait for the slot, which may be deep
        # in an epoch: Tune would give this actor up. The next job queues for it
        mailbox.cancel.remote(job.id)


def all_news(mailbox: Any, job: Job, patience: float) -> Iterator[News]:
    """What the mailbox has to say of a job, until its end; one that is silent for ``patience`` seconds is
    lost."""
    news = News([])
    while not news.ended:
        job = job.after(len(news.rows), len(news.takings))
        try:
            news = ray.get(mailbox.news.remote(job), timeout=IDLE_SECONDS + patience)
        except ray.exceptions.GetTimeoutError:
            cause = f"the mailbox did not answer for {patience:.0f} s"
            news = News([], ended=True, cause=cause, lost=True)
        yield news
