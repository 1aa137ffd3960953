"""Import of the pickles of MMSA: CMU-MOSI, CMU-MOSEI and CH-SIMS, aligned or not.

Layout: `{"train": {...}, "valid": {...}, "test": {...}}`, in each `id` (`video$_$clip`),
`text`, `audio`, `vision` (N, T, D), `regression_labels` (N,), and for unaligned sets
`audio_lengths`, `vision_lengths`; also raw_text, text_bert, annotations and others, which are
left alone unless the spec names them.  Where no lengths are given, the steps at the end that
are all zero are padding; a modality that is zero throughout was not there.
Source: github.com/thuiar/MMSA, its data loader and the files it points to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mbd.data.arrays import ArrayFields, Arrays
from mbd.data.channels import Array
from mbd.data.problems import Problems
from mbd.data.rules import Imported, assemble
from mbd.data.spec import ImportSpec
from mbd.data.unpickle import load_plain
from mbd.errors import DataError
from mbd.values import SPLITS

DEFAULTS: dict[str, Any] = {
    "task": "regression",
    "label": "regression_labels",
    "label_range": [-3.0, 3.0],
    "record_id": "id",
    "subject": "video",
    "split": {"array": "split", "train": "train", "valid": "valid", "test": "test"},
    "modalities": {"text": "text", "audio": "audio", "vision": "vision"},
}
"""What a spec need not say; CH-SIMS wants `label_range = [-1.0, 1.0]`."""

_CLIP = "$_$"


def import_mmsa(source: Path, spec: ImportSpec, problems: Problems) -> Imported | None:
    """Read a pickle of MMSA; see `assemble` for what comes back.

    Besides the arrays of the file there are `video`, the part of each id before `$_$`, and
    `split`, the part of the file that it stands in.

    Raises:
        NotFoundError: No such file.
        DataError: Not a pickle of that layout, or one that asks for anything but plain data.
    """
    arrays = MmsaArrays(source, load_plain(source))
    return assemble(MmsaFields(arrays, spec), spec, source.stem, problems)


class MmsaArrays(Arrays):
    """The arrays of all parts of a pickle, one after the other."""

    def __init__(self, source: Path, content: Any) -> None:
        super().__init__()
        self._source = source
        self._parts: dict[str, dict[Any, Any]] = {
            name: _part(source, content, name) for name in SPLITS
        }
        common = set.intersection(*(set(part) for part in self._parts.values()))
        self._names = ("video", "split", *sorted(name for name in common if isinstance(name, str)))

    @property
    def arrays(self) -> tuple[str, ...]:
        return self._names

    def array(self, name: str, field: str) -> Array:
        pieces = self._pieces(name, field)
        shapes = {piece.shape[1:] for piece in pieces}
        if len(shapes) > 1:
            raise DataError(
                f"{name!r} differs between the parts: {[p.shape for p in pieces]}", field=field
            )
        return np.concatenate(pieces)

    def blocks(self, name: str, field: str, kinds: str) -> list[Array]:
        pieces = self._pieces(name, field)
        for piece, ids in zip(pieces, self._pieces("id", field), strict=True):
            if len(piece) != len(ids) or piece.dtype.kind not in kinds:
                raise DataError(
                    f"{name!r} is {piece.dtype} of shape {piece.shape} for {len(ids)} records",
                    field=field,
                )
        return pieces

    def _pieces(self, name: str, field: str) -> list[Array]:
        """One array for each part that has records."""
        if name not in self._names:
            raise DataError(
                f"{self._source}: no array {name!r}; it has {', '.join(self._names)}", field=field
            )
        found = [self._piece(part, name, field) for part in SPLITS]
        return [piece for piece in found if len(piece)] or found[:1]

    def _piece(self, part: str, name: str, field: str) -> Array:
        if name in ("video", "split"):
            ids = _array(self._parts[part]["id"], "id", field)
            if name == "split":
                return np.full(len(ids), part)
            return np.array([str(one).split(_CLIP)[0] for one in ids.tolist()], np.str_)
        return _array(self._parts[part][name], name, field)


class MmsaFields(ArrayFields):
    """The fields of a spec in a pickle of MMSA, lengths by its conventions."""

    def _steps_of(
        self, name: str, stacks: list[list[Array]], problems: Problems
    ) -> npt.NDArray[np.int64]:
        longest = stacks[0][0].shape[1]
        filled = np.max([_filled_steps(stack) for stack in stacks], axis=0)
        beside = f"{self._spec.modalities[name][0]}_lengths"
        if name in self._spec.lengths:
            lengths = super()._steps_of(name, stacks, problems)
        elif beside in self._arrays.arrays:
            # A sequence that was cut may still say how long it had been.
            cut = np.minimum(self._declared(beside, name), longest)
            lengths = self._checked(cut, name, longest, problems)
        else:
            lengths = filled
        return np.where(filled > 0, lengths, 0)


def _filled_steps(blocks: list[Array]) -> npt.NDArray[np.int64]:
    """(N,) steps of each record up to the last that is not all zero."""
    found = []
    for block in blocks:
        with np.errstate(invalid="ignore"):  # NaN and infinity are not zero
            filled = np.asarray(block.any(axis=2))  # (N, T)
        last = filled.shape[1] - filled[:, ::-1].argmax(axis=1)
        found.append(np.where(filled.any(axis=1), last, 0))
    return np.concatenate(found).astype(np.int64)


def _part(source: Path, content: Any, name: str) -> dict[Any, Any]:
    part = content.get(name) if isinstance(content, dict) else None
    if not isinstance(part, dict) or "id" not in part:
        raise DataError(
            f"{source} is not a pickle of MMSA: want dicts train, valid and test, each with id",
            code="data.layout",
            field="SRC",
        )
    return part


def _array(value: Any, name: str, field: str) -> Array:
    """A value of a part as an array; (N, 1) and (N, 1, 1) as (N,) unless there are steps."""
    try:
        found = np.asarray(value) if isinstance(value, np.ndarray | list) else None
    except (ValueError, OverflowError):
        found = None
    if found is None or found.ndim == 0 or found.dtype.kind not in "biufUS":
        raise DataError(f"{name!r} is no array of numbers or texts", field=field)
    return found.reshape(len(found)) if found.size == len(found) and found.ndim < 4 else found
