"""Small pickles in exactly the layouts of MMSA, as NumPy 1 and NumPy 2 write them."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

WIDTHS = {
    "mosi": {"text": 12, "audio": 5, "vision": 20},
    "mosei": {"text": 12, "audio": 74, "vision": 35},
    "sims": {"text": 12, "audio": 33, "vision": 70},
}
"""Widths of the published sets, but for the 768 of BERT."""
STEPS = {"text": 6, "audio": 9, "vision": 8}
COUNTS = {"train": 6, "valid": 2, "test": 4}


def mmsa_set(name: str, *, aligned: bool, seed: int = 0) -> dict[str, dict[str, Any]]:
    """A set of 12 clips of 4 videos, three clips each."""
    rng = np.random.default_rng(seed)
    first = 0
    found = {}
    for split, count in COUNTS.items():
        found[split] = _part(rng, name, first, count, aligned)
        first += count
    return found


def _part(
    rng: np.random.Generator, name: str, first: int, count: int, aligned: bool
) -> dict[str, Any]:
    steps = dict.fromkeys(STEPS, STEPS["text"]) if aligned else STEPS
    spoken = rng.integers(1, STEPS["text"] + 1, count)
    lengths = {m: spoken if aligned or m == "text" else rng.integers(1, steps[m] + 1, count)
               for m in STEPS}  # fmt: skip
    part: dict[str, Any] = {
        "raw_text": np.array([f"clip {first + i} 你好" for i in range(count)], dtype=object),
        "id": [f"{'video_' if name == 'sims' else '-v'}{(first + i) // 3}$_${first + i}"
               for i in range(count)],
        "annotations": ["Positive"] * count,
        "text_bert": rng.integers(0, 2, (count, 3, steps["text"])).astype(np.float32),
        "regression_labels": rng.uniform(-1, 1, count).astype(np.float32),
        "classification_labels": rng.integers(0, 3, count).astype(np.float32),
    }  # fmt: skip
    for modality, width in WIDTHS[name].items():
        values = rng.standard_normal((count, steps[modality], width)).astype(np.float32)
        for row, length in enumerate(lengths[modality]):
            values[row, length:] = 0
        part[modality] = values
    if not aligned:
        part["audio_lengths"] = lengths["audio"].tolist()
        part["vision_lengths"] = lengths["vision"].tolist()
    if name == "sims":
        part |= {f"regression_labels_{m}": part["regression_labels"] for m in "TAV"}
    return part


class _Older(pickle._Pickler):
    """Writes the names by which NumPy 1 refers to itself."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = getattr(obj, "__module__", "") or ""
        if not module.startswith("numpy._core"):
            super().save_global(obj, name)
            return
        module = module.replace("numpy._core", "numpy.core")
        name = name or obj.__name__
        if self.proto >= 4:
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        self.memoize(obj)


def dumps(value: Any, protocol: int = 4, *, numpy: int = 2) -> bytes:
    """A pickle of `value` as written under that version of NumPy."""
    if numpy == 2:
        return pickle.dumps(value, protocol)
    stream = io.BytesIO()
    _Older(stream, protocol).dump(value)
    return stream.getvalue()
