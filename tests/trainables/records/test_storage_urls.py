from __future__ import annotations

from pathlib import Path

import pytest

from trainables.errors import UserError
from trainables.records.storage_urls import masked, storage_url, unmasked


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
