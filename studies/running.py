"""What everything that happens in a running study needs at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studies.folder import StudyFolder
from studies.ledger import Ledger
from studies.stop import Stop
from studies.view import View


@dataclass(frozen=True)
class Running:
    """A study that runs: its trials and where they are kept, the data they see, who watches, what ends it."""

    ledger: Ledger
    folder: StudyFolder
    data_dir: Path | None
    view: View
    stop: Stop
