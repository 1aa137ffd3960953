"""Which files are not what their manifest or pointer says: all of them, not only the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mbd.data.buckets import BucketFolder
from mbd.errors import MbdError
from mbd.workflows.session import Session


@dataclass(frozen=True)
class Damage:
    """One damaged thing."""

    code: str
    """'data.file', 'rows.file', 'model.file' or 'state.file'."""
    error: MbdError


def find_damage(session: Session) -> Iterator[Damage]:
    """Read every file of data, prepared rows, model and state, and hold it against its digest."""
    checks: tuple[tuple[str, Callable[[Session], Iterator[MbdError]]], ...] = (
        ("data.file", _data),
        ("rows.file", _rows),
        ("model.file", _model),
        ("state.file", _state),
    )
    for code, check in checks:
        try:
            for error in check(session):
                yield Damage(code, error)
        except MbdError as error:
            yield Damage(code, error)


def _data(session: Session) -> Iterator[MbdError]:
    if session.has_data() or session.find_model() is not None:
        yield from _buckets(session.store_folder)


def _rows(session: Session) -> Iterator[MbdError]:
    if session.find_model() is not None:
        yield from _buckets(session.prepared_folder(session.model().policy.training_id))


def _buckets(folder: Path) -> Iterator[MbdError]:
    opened = BucketFolder.open(folder)
    for bucket in range(opened.count):
        try:
            opened.read(bucket)
        except MbdError as error:
            yield error


def _model(session: Session) -> Iterator[MbdError]:
    model = session.find_model()
    for file in () if model is None else model.files:
        try:
            assert model is not None
            model.read(file.path)
        except MbdError as error:
            yield error


def _state(session: Session) -> Iterator[MbdError]:
    if session.find_model() is None:
        return
    state = session.state()
    for head in sorted(state.heads):
        try:
            state.load(head)
        except MbdError as error:
            yield error
