"""The mailbox, without Ray."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.small_study import CONFIG, row

from trainables.slots.mailbox import Mailbox
from trainables.slots.messages import Job, News


def test_a_mailbox_that_was_restarted_hears_again_which_slots_are_lost() -> None:
    async def lose_both() -> News:
        mailbox = Mailbox(["a", "b"])
        await mailbox.lose("a", "gone")
        mailbox = Mailbox(["a", "b"])
        for slot in ("a", "b"):
            await mailbox.lose(slot, "gone")
        return await mailbox.news(Job("0", CONFIG, Path(), None))

    assert asyncio.run(lose_both()).lost


def test_a_job_that_kills_its_workers_costs_those_beside_it_nothing() -> None:
    async def serve() -> dict[str, str | None]:
        mailbox = Mailbox(["a"])
        jobs = {name: Job(name, CONFIG, Path(), None) for name in ("good", "deadly", "other")}
        readers = [asyncio.create_task(mailbox.news(job)) for job in jobs.values()]
        await asyncio.sleep(0)
        done = dict.fromkeys(jobs, 0)
        for _ in range(100):  # a worker that dies in the first epoch of the deadly one
            held: list[str] = []
            while not isinstance(job := await mailbox.take("a", frozenset(held)), str):
                held.append(job.id)
            while held:
                if "deadly" in held:
                    break
                for name in list(held):
                    done[name] += 1
                    if not await mailbox.report("a", name, row(done[name], 1.0)):
                        raise AssertionError(name)
                    if done[name] == CONFIG.epochs:
                        await mailbox.finish("a", name, None)
                        held.remove(name)
                while held and not isinstance(job := await mailbox.take("a", frozenset(held)), str):
                    held.append(job.id)
            if not mailbox._queue and all(entry.ended for entry in mailbox._entries.values()):
                break
        await asyncio.gather(*readers)
        return {name: mailbox._entries[name].cause for name in jobs}

    causes = asyncio.run(serve())
    assert causes == {"good": None, "other": None, "deadly": "its workers died 3 times without a new epoch"}
