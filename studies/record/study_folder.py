"""A study's folder: what was asked there, and where the checkpoints of its trainings are."""

import errno
import math
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError

from studies.record.provenance import provenance
from studies.study import Study
from trainables.console import unwritable
from trainables.errors import UserError, not_a_record
from trainables.records.atomic_files import PARTIAL, is_litter, seal, unseal, write_atomic
from trainables.records.storage_urls import masked, unmasked
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import STATES, TrialFolder
from trainables.text import python_command

if TYPE_CHECKING:
    from trainables.records.object_store import Mirror  # pyarrow is large, and needed where there is one alone

# how many trials share a GPU; what the last report took and was foreseen to take, seconds
_MEASURED: dict[str, Any] = {"pack": None, "report": None}


class StudyFolder:
    """One study's folder at ``path``; study.json is read once."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()  # a link to a folder is that folder: one lock
        self.layout = StudyLayout(self.path)
        self._record: Mapping[str, Any] | None = None

    def claim(
        self,
        study: Study,
        storage: str | None = None,
        checkpoints: str | None = None,
        images: Mapping[str, Any] | None = None,
        **facts: Any,
    ) -> Mapping[str, Any]:
        """Write the study's question, or check that the folder's is the same, and of the same ``images`` (a
        `Dataset.identity`); ``facts`` are rewritten. Raises: UserError where the folder holds another study, or a file
        that is no study's.

        Returns what is in study.json then: ``id`` and ``created`` for good, and the ``storage`` and the ``checkpoints``
        of the first command where this one names none. A password is in none of them."""
        lasting: dict[str, Any] = {"id": uuid.uuid4().hex, "created": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        lasting |= {"storage": storage and masked(storage), "checkpoints": checkpoints, "images": images} | _MEASURED
        lasting = self.check(study, lasting["storage"], checkpoints, images) or lasting
        record = study.question() | lasting | facts | provenance()
        for partial in self.path.glob(PARTIAL):
            partial.unlink(missing_ok=True)
        return self._write(record)

    def _write(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        write_atomic(self.layout.question, seal(record, indent=2) + "\n")
        self._record = record
        return record

    @property
    def pack(self) -> int | None:
        """How many trials share a GPU, once it was measured."""
        found = self._recorded().get("pack")
        return found if isinstance(found, int) else None

    @property
    def images(self) -> Mapping[str, Any] | None:
        """What those that it began with are known by; None of an older study."""
        found = self._recorded().get("images")
        return found if isinstance(found, dict) else None

    @property
    def report_pace(self) -> float:
        """How many times as long as foreseen its last report took; 1 before there was one."""
        with suppress(TypeError, KeyError, ZeroDivisionError):
            pace = float(self._recorded()["report"]["seconds"] / self._recorded()["report"]["foreseen"])
            return pace if 0 < pace < math.inf else 1.0
        return 1.0

    def note(self, **measured: Any) -> None:
        """Record what of `_MEASURED` was measured, for the commands to come, under the study's lock; nothing where
        study.json is missing or damaged by now: it would then be whole, and say nothing else. Raises: OSError."""
        if record := self._read():
            self._write({**record, **measured})

    def check(
        self,
        study: Study,
        storage: str | None = None,
        checkpoints: str | None = None,
        images: Mapping[str, Any] | None = None,
        fresh: bool = False,
    ) -> dict[str, Any]:
        """What lasts of the study that is here, and that this one is; nothing of no study, or one that is moved aside:
        ``fresh``. Raises: as `claim`, and UserError where it cannot be moved."""
        asked: dict[str, Any] = {"id": "", "created": "", "storage": storage and masked(storage)}
        asked |= {"checkpoints": checkpoints, "images": images}
        asked |= _MEASURED
        if self.layout.question.is_file():
            if not fresh:
                return self._claimed_before(study, asked)
            mount = os.strerror(errno.EBUSY) if os.path.ismount(self.path) else ""
            if fault := mount or unwritable(self.path.parent):
                raise self._unmovable("<time>", fault)
            return {}
        own = (self.layout.lock, self.layout.driver, self.layout.request)
        others = self.path.iterdir() if self.path.exists() else ()
        if any(not path.match(PARTIAL) and path not in own and not is_litter(path.name) for path in others):
            raise UserError(f"{self.path} is not empty and holds no study\nuse another --out")
        return {}

    def own_definitions(self, study: Study) -> Study:
        """The study by the definitions of the one that is here, and by its objective where none is asked. Raises:
        UserError where it asks for what they lack."""
        record = self._recorded()
        base, objective = record.get("base"), record.get("objective")
        version = base.get("definitions", 1) if isinstance(base, dict) else None
        try:
            return study.by_definitions(version, objective if isinstance(objective, str) else None)
        except ValueError as error:
            way_out = f"use another --out, or --fresh to move {self.path} aside" if version else "use other options"
            raise UserError(str(error) if "\n" in str(error) else f"{error}\n{way_out}") from error

    def _claimed_before(self, study: Study, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What lasts of an earlier claim by the same study. Raises: UserError where it was another's."""
        path = self.layout.question
        try:
            found = unseal(path.read_bytes())
            differences = study.differences(found)
            lasting = {"id": found["id"]} | {key: found.get(key) for key in asked if key != "id"}
            lasting["storage"] = lasting["storage"] and masked(lasting["storage"])
            lasting["images"] = lasting["images"] or asked["images"]  # of an older study they are not known
            counts = [int(of["count"]) for of in (lasting["images"], asked["images"]) if of]
        except ValidationError as error:
            raise UserError(not_a_record(path, "a study's", error, "use another --out, or --fresh")) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ArgumentError) as error:
            raise UserError(f"{path} is damaged: {error}\nrestore it, or use another --out, or --fresh") from error
        if differences:
            is_place = [line.startswith("--set dataset:") for line in differences] == [True]
            link = "if these are the same images, a link where they were will do; " * is_place
            raise UserError(
                f"{self.path} holds another study: {'; '.join(differences)}\n{link}"
                "use another --out, or --fresh to move that study aside; its own command, which goes on with it, is in "
                f"`{python_command('-m', 'studies', 'status', self.path)}`"
            )
        if len(counts) == 2 and lasting["images"] != asked["images"]:
            raise UserError(
                f"{self.path} began with other images of {study.base.dataset}: {counts[0]:,} then, {counts[1]:,} now\n"
                "put them back, or use another --out, or --fresh to move that study aside: trials on other images "
                "cannot be compared"
            )
        for key in ("storage", "checkpoints"):
            if asked[key] not in (None, lasting[key]):
                raise UserError(
                    f"--storage must be the one that {self.path} began with, "
                    f"{lasting[key] or 'its own folder'}\nuse another --out, or --fresh"
                )
        return lasting

    def _recorded(self) -> Mapping[str, Any]:
        """What study.json says; nothing where it is missing or damaged."""
        if self._record is None:
            self._record = self._read()
        return self._record or {}

    def _read(self) -> Mapping[str, Any] | None:
        with suppress(OSError, ValueError):
            if self.layout.question.is_file():
                return unseal(self.layout.question.read_bytes())
        return None

    def storage(self) -> str | None:
        """The storage that the study began with, if it is not the folder's own."""
        url = self._recorded().get("storage")
        return url and unmasked(url)

    def mirror(self, path: Path) -> "Mirror | None":
        """Where the checkpoints of what trains in ``path`` are kept, if not there."""
        record = self._recorded()
        if not record.get("checkpoints"):
            return None
        from trainables.records.object_store import Mirror

        owner = f"{record['name']}-{record['id'][:8]}"
        return Mirror(record["checkpoints"], f"{owner}/{path.relative_to(self.path)}")

    def fetch_best(self, record: TrialFolder) -> None:
        """Bring the weights of a training that has ended here, if they are elsewhere. Raises: OSError."""
        if mirror := self.mirror(record.path):
            record.checkpoints.mkdir(exist_ok=True)
            mirror.pull(record.checkpoints, record.best.name)

    def drop_states(self, record: TrialFolder) -> None:
        """Forget how to go on with a training that has ended. Raises: OSError."""
        if mirror := self.mirror(record.path):
            mirror.remove(STATES)
        record.drop_states()

    def forget(self) -> None:
        """Undo `claim`, before a trial was begun."""
        ledger = self.layout.ledger
        for path in (self.layout.question, self.layout.sessions, ledger, ledger.with_name(f"{ledger.name}-journal")):
            path.unlink(missing_ok=True)
        self._record = None
        self.leave()

    def leave(self) -> None:
        """Remove the folder where nothing is in it."""
        with suppress(OSError):
            self.path.rmdir()

    def move_aside(self) -> Path | None:
        """Keep what is there under another name, and start over; None where there is nothing. Raises: UserError
        where the folder cannot be moved."""
        if not self.layout.question.exists():
            return None
        when = time.strftime("%Y%m%d-%H%M%S")
        kept = self.path.with_name(f"{self.path.name}.{when}")
        try:
            self.path.rename(kept)
        except OSError as error:  # a mount, or in a folder that cannot be written
            raise self._unmovable(when, str(error.strerror)) from error
        self.path.mkdir()
        self._record = None
        return kept

    def _unmovable(self, when: str, reason: str) -> UserError:
        fault = f"{self.path} cannot be moved aside to {self.path.name}.{when}: {reason}"
        return UserError(f"{fault}\nuse another --out, or move what is in it yourself")
