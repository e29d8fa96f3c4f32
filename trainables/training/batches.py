"""uint8 images in memory -> float batches on a device, without a DataLoader."""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trainables.training.process_group import World

_DEVICE_SHARE = 0.25  # of a GPU's free memory: a set that takes no more moves there as a whole


class Pixels:
    """Rows of ``images`` (N, C, H, W) uint8, typically a memory map that a node's processes share, served as batches in
    [0, 1] on ``device``: those at ``indices`` (M,), by default all."""

    def __init__(
        self, images: np.ndarray, indices: np.ndarray | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self._images = images
        self._indices = np.arange(len(images)) if indices is None else np.asarray(indices)
        self._resident: Tensor | None = None
        if self.device.type == "cuda":
            size = len(self) * int(np.prod(images.shape[1:]))
            if size <= _DEVICE_SHARE * torch.cuda.mem_get_info(self.device)[0]:
                self._resident = torch.from_numpy(images[self._indices]).to(self.device)

    def __len__(self) -> int:
        return len(self._indices)

    def batch(self, rows: np.ndarray) -> Tensor:
        """Rows of this set, (B,) integers -> (B, C, H, W) float32 in [0, 1] on the device."""
        if self._resident is not None:
            pixels = self._resident[torch.from_numpy(rows).to(self.device, non_blocking=True)]
        else:
            pixels = torch.from_numpy(self._images[self._indices[rows]]).to(self.device, non_blocking=True)
        return pixels.float().div_(255)

    def spread(self, count: int) -> "Pixels":
        """At most ``count`` rows of this set, evenly spaced: sets may be sorted by label."""
        rows = np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int)
        part = copy.copy(self)
        part._indices = self._indices[rows]
        part._resident = None if self._resident is None else self._resident[torch.from_numpy(rows)]
        return part

    def in_order(self, batch_size: int, world: World) -> Iterator[tuple[np.ndarray, Tensor]]:
        """(this rank's rows, their images) for each batch of the set, in order; no batch is empty."""
        for start in range(0, len(self), batch_size):
            rows = world.share(np.arange(start, min(start + batch_size, len(self))))
            if len(rows):
                yield rows, self.batch(rows)
