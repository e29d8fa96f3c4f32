"""What everything that happens in a running study needs at hand."""

from dataclasses import dataclass
from pathlib import Path

from studies.record.ledger import Ledger
from studies.record.study_folder import StudyFolder
from studies.watch.live_view import View
from studies.watch.stopping import Stop


@dataclass(frozen=True)
class Session:
    """A study that runs: its trials and where they are kept, the data they see, who watches, what ends it."""

    ledger: Ledger
    folder: StudyFolder
    data_dir: Path | None
    view: View
    stop: Stop
