"""Records as padded tensors, once, so that a batch is an index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mbd.data.records import Records
from mbd.errors import DataError
from mbd.model.scaling import Scaler
from mbd.values import Task


@dataclass(frozen=True, eq=False)
class Tensors:
    """Standardised records, padded to the longest of them; float32."""

    x: dict[str, Float[Tensor, "records steps width"]]
    """Per modality; zeros after the end of a sequence and for absent records."""
    lengths: dict[str, Int[Tensor, " records"]]
    """Real steps; 0 where absent."""
    available: Bool[Tensor, "records modality"]
    """In the sorted order of the modalities."""
    labels: Float[Tensor, " records"] | Int[Tensor, " records"]
    """Label units, or class indices."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Int[Tensor, " batch"]) -> Tensors:
        """The records at `indices`, padded no longer than they need."""
        lengths = {name: value[indices] for name, value in self.lengths.items()}
        x = {
            name: value[indices, : max(1, int(lengths[name].max()))]
            for name, value in self.x.items()
        }
        return Tensors(x, lengths, self.available[indices], self.labels[indices])


def to_tensors(records: Records, scaler: Scaler, task: Task, device: torch.device) -> Tensors:
    """Standardise, pad and move records to a device.

    Raises:
        DataError: There are no records, or a record's features are unusable.
    """
    if not len(records):
        raise DataError("no records to train on")
    x, lengths, available = {}, {}, []
    for name in sorted(scaler.channels):
        padded, length = _pad(records, name, scaler)
        x[name] = torch.from_numpy(padded).to(device)
        lengths[name] = torch.from_numpy(length).to(device)
        available.append(lengths[name] > 0)
    kind = torch.long if task.kind == "classification" else torch.float32
    labels = torch.as_tensor(records.labels, dtype=kind, device=device)
    return Tensors(x, lengths, torch.stack(available, dim=1), labels)


def _pad(records: Records, name: str, scaler: Scaler) -> tuple[np.ndarray, np.ndarray]:
    channel = scaler.channels[name]
    arrays = records.x.get(name, (None,) * len(records))
    length = np.array([0 if a is None else len(a) for a in arrays], dtype=np.int64)
    padded = np.zeros((len(records), max(1, int(length.max())), channel.width), dtype=np.float32)
    for row, array in enumerate(arrays):
        if array is not None:
            padded[row, : len(array)] = channel.standardise(array)
    return padded, length
