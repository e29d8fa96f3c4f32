"""The mailbox between Tune's trials and the slots: jobs on their way there, reports on their way back."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from trainables.metrics import Metrics
from trainables.records.trial_folder import Place
from trainables.slots.messages import DIED, Assignment, Job, News, Underway

_MAX_DEATHS = 3  # a job whose workers die this often without a new epoch between is at fault itself
_VERDICT_SHARE = 0.1  # how long a worker waits to hear of an epoch that is not judged, as a share of the epoch's time
IDLE_SECONDS = 10.0  # nobody waits longer for news: idle ranks must meet far more often than their group times out


@dataclass
class _Entry:
    job: Job
    slot: str | None = None
    queued: float | None = field(default_factory=time.monotonic)
    assignments: list[Assignment] = field(default_factory=list)
    rows: list[Metrics] = field(default_factory=list)
    judged: int = 0  # epochs after which the reader let the job go on
    deaths: int = 0
    cancelled: bool = False
    ended: bool = False
    cause: str | None = None
    lost: bool = False
    underway: Underway | None = None

    def left(self) -> Job:
        """What is left of it."""
        return self.job.after(len(self.rows))

    def assign(self, slot: str, places: tuple[Place, ...]) -> Job:
        """Give what is left of it to a slot."""
        waited = None if self.queued is None else time.monotonic() - self.queued
        self.slot, self.queued, self.underway = slot, None, None
        self.assignments.append(Assignment(places, waited))
        return self.left()


class Mailbox:
    """Jobs on their way to slots and reports on their way back; asyncio, so that no call blocks another. Ray restarts
    one that dies, and it starts empty: readers ask again for their jobs, which queues them again, and a slot that
    reports on a job it was not given here is told to stop. Nothing is lost, as a job goes on from its checkpoints."""

    def __init__(self, slots: list[str]) -> None:
        self._entries: dict[str, _Entry] = {}
        self._queue: deque[str] = deque()
        self._slots = set(slots)
        self._gone: set[str] = set()
        self._requests: Counter[str] = Counter()
        self._lost = ""
        self._closed = False
        self._changed = asyncio.Condition()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, ready: Callable[[], bool], seconds: float = IDLE_SECONDS) -> bool:
        """Wait until it is so, or for as long; whether it is."""
        async with self._changed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(ready), seconds)
        return ready()

    async def news(self, job: Job) -> News:
        """Wait for rows after the ``job.recorded`` that its reader lets stand; or until the job is assigned once more
        than ``job.assigned``; or for an end, or a while. A job that is not known is queued."""
        entry = self._entries.get(job.id)
        if entry is not None and entry.cancelled:  # by an earlier reader: wait until its slot lets go of it
            await self._wait(lambda: job.id not in self._entries)
            return News([])
        if entry is None:
            entry = self._entries[job.id] = _Entry(job)
            self._queue.append(job.id)
        entry.judged = job.recorded
        await self._notify()
        seen, known = job.recorded - entry.job.recorded, job.assigned - entry.job.assigned

        def has_news() -> bool:
            return len(entry.rows) > seen or len(entry.assignments) > known or entry.ended or self._slots <= self._gone

        await self._wait(has_news)
        if self._slots <= self._gone:
            return News([], ended=True, cause=self._lost, lost=True)
        return News(entry.rows[seen:], entry.ended, entry.cause, entry.lost, entry.assignments[known:])

    async def take(self, slot: str, active: frozenset[str] = frozenset(), places: tuple[Place, ...] = ()) -> Job | str:
        """The next job for a slot, "idle" where there is none, "close" at the end. A slot that says which jobs it
        trains, by their ids in ``active``, does not wait; one that has none waits a while. One that was assigned a job
        and does not train it lost its workers: it gets the same job again. It gets no other until that has an epoch
        more: of several, the one that kills its workers shows itself."""
        self._requests[slot] += 1
        self._slots.add(slot)  # it may have been opened later than the others
        await self._notify()
        given = [entry for entry in self._entries.values() if entry.slot == slot and not entry.ended]
        if any(entry.deaths for entry in given if entry.job.id in active):
            return "idle"
        for entry in [entry for entry in given if entry.job.id not in active]:
            entry.deaths += 1
            if entry.deaths < _MAX_DEATHS and not entry.cancelled:
                job = entry.assign(slot, places)
                await self._notify()
                return job
            await self.finish(slot, entry.job.id, f"{DIED} {entry.deaths} times without a new epoch")
        if not active:
            await self._wait(lambda: bool(self._queue) or self._closed)
        if self._queue:
            job = self._entries[self._queue.popleft()].assign(slot, places)
            await self._notify()
            return job
        return "close" if self._closed else "idle"

    async def expect(self, slots: list[str]) -> None:
        """Know of slots that will open."""
        self._slots.update(slots)

    async def is_open(self, slot: str) -> bool:
        """Whether a slot has asked for a job, or never will; waits for it a while."""
        return await self._wait(lambda: self._requests[slot] > 0 or slot in self._gone or self._closed)

    async def requests(self, slot: str) -> int:
        """How often a slot has asked for a job."""
        return self._requests[slot]

    async def report(self, slot: str, job_id: str, row: Metrics) -> bool:
        """An epoch's row; answers whether to go on. After one of the job's ``judged`` epochs it waits until the reader
        has let it stand; after another, which ends a study alone that is to stop, up to _VERDICT_SHARE of its time."""
        entry = self._entries.get(job_id)
        if entry is None or entry.slot != slot:
            return False
        epoch = int(row["epoch"])
        if epoch > entry.left().recorded:
            entry.rows.append(row)
        entry.deaths, entry.underway = 0, None
        await self._notify()
        seconds = IDLE_SECONDS if epoch in entry.job.judged else _VERDICT_SHARE * row["epoch_seconds"]
        while not await self._wait(lambda: entry.judged >= epoch or entry.cancelled, seconds):
            if epoch not in entry.job.judged:
                break
        return not entry.cancelled

    async def tell(self, slot: str, found: Mapping[str, Underway]) -> None:
        """Keep how far a slot's jobs are within their epochs, for who looks. No job hangs on it: it wakes nobody, and
        what is lost, or comes late, is made good by the next."""
        for job_id, underway in found.items():
            entry = self._entries.get(job_id)
            if entry is not None and entry.slot == slot:
                entry.underway = underway

    async def underway(self) -> dict[str, Underway]:
        """How far jobs are within their epochs, of those that have said so since their last."""
        return {job_id: entry.underway for job_id, entry in self._entries.items() if entry.underway and entry.slot}

    async def finish(self, slot: str, job_id: str, cause: str | None, lost: bool = False) -> None:
        """Let a job end in its slot; `News` has the rest. A cancelled one is forgotten."""
        entry = self._entries.get(job_id)
        if entry is not None and entry.slot == slot:
            entry.ended, entry.cause, entry.lost, entry.slot = True, cause, lost, None
            if entry.cancelled:
                del self._entries[job_id]
        await self._notify()

    async def cancel(self, job_id: str) -> None:
        """Stop a job at its next epoch; its slot takes the next one then."""
        entry = self._entries.get(job_id)
        if entry is None:
            return
        entry.cancelled = True
        if entry.slot is None:
            if job_id in self._queue:
                self._queue.remove(job_id)
            del self._entries[job_id]
        await self._notify()

    async def lose(self, slot: str, cause: str) -> None:
        """Put the jobs of a slot that is gone for good back to the queue."""
        self._gone.add(slot)
        self._lost = cause
        for job_id, entry in [*self._entries.items()]:
            if entry.slot == slot and not entry.ended and entry.cancelled:
                del self._entries[job_id]
            elif entry.slot == slot and not entry.ended:
                entry.slot, entry.queued = None, time.monotonic()
                self._queue.appendleft(job_id)
        await self._notify()

    async def close(self) -> None:
        """Let slots end when they are idle: there will be no more jobs."""
        self._closed = True
        await self._notify()
