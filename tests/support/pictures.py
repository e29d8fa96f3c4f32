"""Whether a picture shows something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def looks_drawn(path: Path, least: int = 200) -> None:
    """It is as large as a figure (a GIF is smaller), and not blank."""
    with Image.open(path) as image:
        assert image.format == path.suffix[1:].upper()
        assert min(image.size) >= (least if path.suffix == ".png" else 80)
        grey = np.asarray(image.convert("L")).astype(int)
    assert np.ptp(grey) > 100, f"{path} is blank"
    assert grey.std() > 5, f"{path} is nearly blank"
