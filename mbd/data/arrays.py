"""Named arrays with one row per record, and a spec's fields in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mbd.data.channels import Array, Channel
from mbd.data.problems import Problems
from mbd.data.spec import ImportSpec, IndexedSubject
from mbd.errors import DataError


class Arrays(ABC):
    """Arrays by name, each checked as it is asked for."""

    def __init__(self) -> None:
        self.rows = 0
        """N: the number of records, once the record ids are known."""

    @property
    @abstractmethod
    def arrays(self) -> tuple[str, ...]:
        """The names of all arrays."""

    @abstractmethod
    def array(self, name: str, field: str) -> Array:
        """The array `name`, which the spec's key `field` asks for."""

    def blocks(self, name: str, field: str, kinds: str) -> list[Array]:
        """A `column` in as many pieces as the source holds it, without a copy."""
        return [self.column(name, field, kinds)]

    def column(self, name: str, field: str, kinds: str) -> Array:
        """An array with one row per record, of dtype kinds such as 'iu'."""
        found = self.array(name, field)
        if found.ndim == 0 or len(found) != self.rows:
            raise DataError(
                f"array {name!r} has shape {found.shape}; want {self.rows} rows, one per record",
                field=field,
            )
        if found.dtype.kind not in kinds:
            raise DataError(f"array {name!r} has type {found.dtype}, unusable here", field=field)
        return found

    def vector(self, name: str, field: str, kinds: str) -> Array:
        """A `column` with one value per record."""
        found = self.column(name, field, kinds)
        if found.ndim != 1:
            raise DataError(
                f"array {name!r} has shape {found.shape}; want one value per record", field=field
            )
        return found

    def names(self, name: str, field: str) -> tuple[str, ...]:
        """A one-dimensional array as text: strings, UTF-8 bytes or whole numbers."""
        found = self.array(name, field)
        if found.ndim != 1 or found.dtype.kind not in "USiu":
            raise DataError(
                f"array {name!r} ({found.dtype}, {found.shape}): want a list of names", field=field
            )
        if found.dtype.kind != "S":
            return tuple(str(value) for value in found.tolist())
        try:
            return tuple(value.decode("utf-8") for value in found.tolist())
        except UnicodeDecodeError as error:
            raise DataError(f"array {name!r} is not UTF-8: {error}", field=field) from error


class ArrayFields:
    """The fields of a spec in named arrays; see `mbd.data.channels.Fields`."""

    def __init__(self, arrays: Arrays, spec: ImportSpec) -> None:
        self._arrays = arrays
        self._spec = spec
        self._ids: tuple[str, ...] = ()

    def record_ids(self, problems: Problems) -> tuple[str, ...]:
        self._ids = self._arrays.names(self._spec.record_id, "record_id")
        self._arrays.rows = len(self._ids)
        return self._ids

    def subjects(self, problems: Problems) -> tuple[str, ...]:
        if not isinstance(self._spec.subject, IndexedSubject):
            self._arrays.vector(self._spec.subject, "subject", "USiu")
            return self._arrays.names(self._spec.subject, "subject")
        names = self._arrays.names(self._spec.subject.names, "subject.names")
        index = self._arrays.vector(self._spec.subject.index, "subject.index", "iu")
        for row in np.flatnonzero((index < 0) | (index >= len(names))):
            reason = f"subject {index[row]} points outside the {len(names)} names"
            problems.refuse(self._ids[row], "subject.index", reason)
        return tuple(names[i] if 0 <= i < len(names) else "?" for i in index.tolist())

    def classes(self) -> tuple[str, ...]:
        named = self._spec.classes
        if isinstance(named, str):
            return self._arrays.names(named, "classes")
        return tuple(named or ())

    def labels(self, classes: tuple[str, ...], problems: Problems) -> npt.NDArray[np.float64]:
        return self._arrays.vector(self._spec.label, "label", "fiub").astype(np.float64)

    def splits(self) -> tuple[str, ...]:
        name = self._spec.split.array
        found = self._arrays.vector(name, "split.array", "iubUS")
        if found.dtype.kind in "US":
            return self._arrays.names(name, "split")
        return tuple(str(int(value)) for value in found.tolist())

    def channel(self, name: str, problems: Problems) -> Channel:
        field = f"modalities.{name}"
        stacks = [self._stack(array, field) for array in self._spec.modalities[name]]
        shapes = [stack[0].shape for stack in stacks]
        if len({shape[1] for shape in shapes}) > 1:
            raise DataError(f"arrays of {name} differ in length: {shapes}", field=field)
        lengths = self._lengths(name, stacks, problems)
        rows = zip(*(_rows(stack) for stack in stacks), strict=True)
        return Channel(
            width=sum(shape[2] for shape in shapes),
            longest=shapes[0][1],
            values=[
                _joined([part[:length] for part in parts]) if length else None
                for parts, length in zip(rows, lengths, strict=True)
            ],
        )

    def _stack(self, name: str, field: str) -> list[Array]:
        """Blocks (N_k, T, D) of an array, of whatever accepted shape it is."""
        blocks = [_steps(b, name, field) for b in self._arrays.blocks(name, field, "fiub")]
        shapes = {block.shape[1:] for block in blocks}
        if len(shapes) > 1:
            raise DataError(f"array {name!r} has rows of shapes {sorted(shapes)}", field=field)
        return blocks

    def _lengths(self, name: str, stacks: list[list[Array]], problems: Problems) -> list[int]:
        """(N,) steps of each record; 0 where the modality is absent."""
        lengths = self._steps_of(name, stacks, problems)
        if name in self._spec.present:
            array, field = self._spec.present[name], f"present.{name}"
            flags = self._arrays.vector(array, field, "biu")
            if not np.isin(flags, (0, 1)).all():
                raise DataError(f"array {array!r}: want true or false", field=field)
            lengths = np.where(flags.astype(bool), lengths, 0)
        found: list[int] = lengths.tolist()
        return found

    def _steps_of(
        self, name: str, stacks: list[list[Array]], problems: Problems
    ) -> npt.NDArray[np.int64]:
        """(N,) steps of each record that is not padding."""
        longest = stacks[0][0].shape[1]
        if name not in self._spec.lengths:
            return np.full(self._arrays.rows, longest, np.int64)
        lengths = self._declared(self._spec.lengths[name], name)
        return self._checked(lengths, name, longest, problems)

    def _declared(self, array: str, name: str) -> npt.NDArray[np.int64]:
        """(N,) what an array of lengths says."""
        return self._arrays.vector(array, f"lengths.{name}", "iu").astype(np.int64)

    def _checked(
        self, lengths: npt.NDArray[np.int64], name: str, longest: int, problems: Problems
    ) -> npt.NDArray[np.int64]:
        """(N,) these lengths; 0, and a problem, where they cannot be."""
        wrong = (lengths < 0) | (lengths > longest)
        for row in np.flatnonzero(wrong):
            reason = f"length {lengths[row]} of {name} is outside 0 to {longest}"
            problems.refuse(self._ids[row], f"lengths.{name}", reason)
        return np.where(wrong, 0, lengths)


def _steps(array: Array, name: str, field: str) -> Array:
    """Any accepted shape as (N, T, D)."""
    if array.ndim > 3 or 0 in array.shape[1:]:
        raise DataError(
            f"array {name!r} has shape {array.shape}; want (N,), (N, D) or (N, T, D)", field=field
        )
    if array.ndim == 1:
        return array[:, None, None]
    return array[:, None, :] if array.ndim == 2 else array


def _rows(blocks: list[Array]) -> list[Array]:
    return [row for block in blocks for row in block]


def _joined(parts: Sequence[Array]) -> Array:
    """(T, D) of all parts side by side; a view where there is only one."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
