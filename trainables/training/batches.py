"""uint8 images in memory -> float batches on a device, without a DataLoader."""

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trainables.training.process_group import World

_DEVICE_SHARE = 0.25  # of a GPU's free memory: a set that takes no more moves there as a whole


class Pixels:
    """Rows of ``images`` (N, C, H, W) uint8, typically a memory map that a node's processes share, served as batches in
    [0, 1] on ``device``: those at ``indices`` (M,), by default all.

    ``is_on_device`` says whether they lie there already: in the same memory on a CPU, and where the set is small enough
    on a GPU. Then `at` is a function of tensors on the device alone."""

    def __init__(
        self, images: np.ndarray, indices: np.ndarray | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self._indices = torch.arange(len(images)) if indices is None else torch.as_tensor(indices, dtype=torch.long)
        self._spread: dict[int, Pixels] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the map is not writable: nobody writes
            self._source = torch.from_numpy(images)
        self.is_on_device = self.device.type == "cpu"
        if self.device.type == "cuda":
            size = len(self) * self._source[:1].nbytes
            if size <= _DEVICE_SHARE * torch.cuda.mem_get_info(self.device)[0]:
                self._move(self._source[self._indices])

    def _move(self, rows: Tensor) -> None:
        """Keep these, all that there are, on the device."""
        self._source, self._indices, self.is_on_device = rows.to(self.device), torch.arange(len(rows)), True

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of an image."""
        return tuple(self._source.shape[1:])

    def __len__(self) -> int:
        return len(self._indices)

    def places(self, rows: Tensor) -> Tensor:
        """Rows of this set, integers on the CPU -> what `at`, on the device, or `staged` takes for them."""
        return self._indices[rows]

    def at(self, places: Tensor) -> Tensor:
        """(B,) `places` on the device -> (B, C, H, W) float32 in [0, 1]."""
        return self._source.index_select(0, places).float().div_(255)

    def staged(self, places: Tensor) -> Tensor:
        """(B,) `places` of a set that is not on the device -> (B, C, H, W) uint8, in memory that a GPU reads from."""
        return self._source.index_select(0, places).pin_memory()

    def images(self, most: int | None = None) -> np.ndarray:
        """All of this set, or at most so many, evenly spaced: (N, C, H, W) uint8, in the host's memory."""
        rows = torch.arange(len(self)) if most is None else _evenly(len(self), most)
        return self._source[self._indices[rows].to(self._source.device)].cpu().numpy()

    def buffer(self, count: int) -> Tensor:
        """(count, C, H, W) uint8 on the device."""
        return torch.zeros((count, *self._source.shape[1:]), dtype=torch.uint8, device=self.device)

    def batch(self, rows: np.ndarray) -> Tensor:
        """Rows of this set, (B,) integers -> (B, C, H, W) float32 in [0, 1] on the device."""
        places = self.places(torch.from_numpy(rows))
        if self.is_on_device:
            return self.at(places.to(self.device))
        return self.staged(places).to(self.device, non_blocking=True).float().div_(255)

    def spread(self, count: int) -> "Pixels":
        """At most ``count`` rows of this set, evenly spaced: sets may be sorted by label. The same object each time: a
        GPU holds them once."""
        if count not in self._spread:
            rows = _evenly(len(self), count)
            part = self._spread[count] = Pixels.__new__(Pixels)
            part.device, part.is_on_device, part._spread = self.device, self.is_on_device, {}
            part._source, part._indices = self._source, self._indices[rows]
            if self.is_on_device and self.device.type != "cpu":
                part._move(self._source[rows.to(self.device)])
        return self._spread[count]

    def in_order(self, batch_size: int, world: World) -> Iterator[tuple[np.ndarray, Tensor]]:
        """(this rank's rows, their images) for each batch of the set, in order; no batch is empty."""
        for start in range(0, len(self), batch_size):
            rows = world.share(np.arange(start, min(start + batch_size, len(self))))
            if len(rows):
                is_resident = self.is_on_device and self.device.type != "cpu"  # and so in this order
                part = slice(int(rows[0]), int(rows[-1]) + 1)
                yield rows, self._source[part].float().div_(255) if is_resident else self.batch(rows)


def _evenly(count: int, most: int) -> Tensor:
    """At most so many of ``count`` rows, evenly spaced."""
    return torch.from_numpy(np.linspace(0, count - 1, min(most, count)).round().astype(int))
