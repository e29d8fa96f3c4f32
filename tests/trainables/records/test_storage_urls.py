from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from trainables.errors import UserError
from trainables.records.storage_urls import masked, out_of_reach, patient, storage_url, unmasked


def test_passwords_stay_out_of_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://ada:geheim%40x@db.example/studies?sslmode=require"
    shown = masked(url)
    assert "geheim" not in shown
    assert unmasked(shown) == url
    assert unmasked("postgresql://ada@db.example/other") == "postgresql://ada@db.example/other"
    monkeypatch.setenv("VAE_STORAGE", "s3://bucket mysql://eva:secret@db2.example/a")
    assert unmasked("mysql://eva:***@db2.example/a") == "mysql://eva:secret@db2.example/a"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_keeps_no_study(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="must outlive the command"):
        storage_url(tmp_path, url)


def test_a_server_that_is_gone_is_said_to_be() -> None:
    """As Optuna passes it on; what a file's library says is of another kind."""
    gone = OperationalError("SELECT 1", {}, Exception("server closed the connection\n  unexpectedly"))
    wrapped = RuntimeError("An exception is raised during the commit.")
    wrapped.__cause__ = gone
    said = "the ledger does not answer: server closed the connection unexpectedly\nsee to its database"
    assert str(out_of_reach("the ledger", wrapped)).startswith(said)
    assert patient("postgresql://host/db", 9.0) == {"pool_pre_ping": True}
