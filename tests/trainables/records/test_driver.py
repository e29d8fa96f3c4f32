"""Who runs a study, of whatever lies beside its folder; who does in truth is in ``test_driver_lock``."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import psutil
import pytest

from trainables.records.driver import Driver, driver_of, own_place
from trainables.records.study_layout import StudyLayout

OWN = {
    "pid": os.getpid(),
    "host": socket.gethostname(),
    "began": psutil.Process().create_time(),
    "phase": "running",
    "order": "",
}


def test_a_driver_is_at_work_but_for_a_pause(tmp_path: Path) -> None:
    layout = StudyLayout(tmp_path / "s")
    phases = {"starting": True, "running": True, "pausing": True, "paused": False, "closing": False, "reporting": False}
    for phase, is_training in phases.items():
        layout.driver.write_text(json.dumps(OWN | {"phase": phase}))
        found = driver_of(layout)
        assert found == Driver(**OWN | {"phase": phase})  # type: ignore[arg-type]
        assert found.is_training == is_training


@pytest.mark.parametrize(
    "written",
    [
        *("", "{", "[]", "[" * 100_000, "{}"),
        *({"pid": "17"}, {"pid": -1}, {"pid": 10**30}, {"pid": 2**31 - 1}),
        *({"began": "now"}, {"host": None}, {"phase": ["running"]}, {"left": "soon"}),
    ],
    ids=lambda written: str(written)[:20] or "nothing",
)
def test_what_no_driver_wrote_is_no_driver(written: str | dict[str, object], tmp_path: Path) -> None:
    layout = StudyLayout(tmp_path / "s")
    assert driver_of(layout) is None
    layout.driver.write_text(written if isinstance(written, str) else json.dumps(OWN | written))
    assert driver_of(layout) is None


def test_a_driver_in_another_container_of_the_same_name_is_known_by_its_signs_of_life(tmp_path: Path) -> None:
    """No process of this machine has its number, or another one does."""
    layout = StudyLayout(tmp_path / "s")
    elsewhere = OWN | {"pid": 2**31 - 1, "place": "another boot pid:[1]"}
    layout.driver.write_text(json.dumps(elsewhere))
    assert driver_of(layout) == Driver(**elsewhere)  # type: ignore[arg-type]
    os.utime(layout.driver, (0, 0))
    assert driver_of(layout) is None
    layout.driver.write_text(json.dumps(elsewhere | {"place": own_place()}))
    assert driver_of(layout) is None
    layout.driver.write_text(json.dumps(OWN | {"place": own_place()}))
    assert driver_of(layout) is not None


def test_what_may_not_be_read_is_no_driver(tmp_path: Path) -> None:
    link, pipe = StudyLayout(tmp_path / "link"), StudyLayout(tmp_path / "pipe")
    (tmp_path / "elsewhere").write_text(json.dumps(OWN))
    link.driver.symlink_to(tmp_path / "elsewhere")
    os.mkfifo(pipe.driver)  # to open it would wait for ever
    assert driver_of(link) is driver_of(pipe) is None
