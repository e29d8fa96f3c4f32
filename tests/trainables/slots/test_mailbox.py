"""The mailbox, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.small_study import CONFIG, row

from trainables.slots.mailbox import Mailbox
from trainables.slots.messages import Job, News, Underway
from trainables.slots.worker import told_of


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


def test_a_worker_waits_for_a_verdict_at_the_epochs_that_can_have_one_alone() -> None:
    async def serve(*, prune: bool) -> tuple[bool, bool, bool]:
        mailbox = Mailbox(["a"])
        job = Job("0", CONFIG, Path(), None, judged=frozenset({2}))
        reader = asyncio.create_task(mailbox.news(job))
        await mailbox.take("a")
        first = await asyncio.wait_for(mailbox.report("a", "0", row(1, 1.0)), 1)  # nobody has seen it
        job = job.after(len((await reader).rows))
        report = asyncio.create_task(mailbox.report("a", "0", row(2, 1.0)))
        news = await mailbox.news(job)
        await asyncio.sleep(0.05)
        waits = not report.done()
        if prune:
            await mailbox.cancel("0")
        else:
            reader = asyncio.create_task(mailbox.news(job.after(len(news.rows))))
        goes_on = await asyncio.wait_for(report, 1)
        reader.cancel()
        return first, waits, goes_on

    assert asyncio.run(serve(prune=False)) == (True, True, True)
    assert asyncio.run(serve(prune=True)) == (True, True, False)


def test_where_jobs_are_within_their_epochs_decides_nothing() -> None:
    where = [Underway(epoch, 0.5, 2.0, 99.0) for epoch in (1, 2)]

    async def serve() -> None:
        mailbox = Mailbox(["a", "b"])
        reader = asyncio.create_task(mailbox.news(Job("0", CONFIG, Path(), None)))
        await asyncio.sleep(0)
        await mailbox.tell("a", {"0": where[0]})  # of a slot that was not given the job
        assert await mailbox.underway() == {}
        await mailbox.take("a")
        assert len((await reader).assignments) == 1
        reader = asyncio.create_task(mailbox.news(Job("0", CONFIG, Path(), None, assigned=1)))
        await mailbox.tell("a", {"0": where[0], "other": where[0]})
        assert await mailbox.underway() == {"0": where[0]}
        await asyncio.sleep(0.01)
        assert not reader.done()  # it wakes nobody
        assert await mailbox.report("a", "0", row(1, 1.0))
        assert (await reader).rows == [row(1, 1.0)]
        assert await mailbox.underway() == {}  # the epoch has ended
        await mailbox.tell("a", {"0": where[1]})
        await mailbox.lose("a", "gone")
        assert await mailbox.underway() == {}
        await mailbox.tell("a", {"0": where[1]})
        assert await mailbox.underway() == {}

    asyncio.run(serve())


def test_steps_are_told_of_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are passed on in order, and the clock is read once for each."""
    now, reads, told = [100.0], [0], list[tuple[int, float]]()

    def clock() -> float:
        reads[0] += 1
        return now[0]

    monkeypatch.setattr("trainables.slots.worker.time.monotonic", clock)

    def steps() -> Iterator[int]:
        for step in told_of(range(50), lambda done, seconds: told.append((done, seconds))):
            yield step
            now[0] += 0.3

    assert list(steps()) == list(range(50))
    assert reads[0] == 1 + 50
    assert [done for done, _ in told] == [4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48]
    assert all(seconds == pytest.approx(0.3 * done) for done, seconds in told)
    told.clear()
    assert list(told_of(range(9), lambda *each: told.append(each))) == list(range(9))
    assert told == []  # an epoch of less than a second
