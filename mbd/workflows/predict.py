"""One prediction: from what is there, minus what was revoked, minus what the caller leaves out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mbd.data.archive import Archive
from mbd.errors import DataError, NotFoundError, RefusedError, UsageError
from mbd.values import ModalityInfo
from mbd.workflows.model import ServedModel, present, serving
from mbd.workflows.session import Session

Arrays = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A prediction and the channels behind it."""

    prediction: float | str
    """Label units, or the name of a class."""
    scores: dict[str, float] | None
    """One score per class; None for regression."""
    used: tuple[str, ...]
    reconstructed: tuple[str, ...]
    """Absent channels that the core filled in; empty without a core."""
    refused: tuple[str, ...]
    """Channels that were revoked: whatever arrived of them was not used."""
    model: str


def predict_record(
    session: Session, record_id: str, *, user: str | None = None, without: Iterable[str] = ()
) -> Prediction:
    """Predict for a stored record; with `user`, only if it is theirs.

    Raises:
        NotFoundError: No such record, modality, data or model; or it is not of this user.
        RefusedError: Revocations leave no channel.
        UsageError: `without` leaves none.
    """
    record = session.store().record(record_id)
    subject = record.subjects[0]
    if user not in (None, subject):
        raise NotFoundError(
            f"record {record_id!r} is not of user {user!r}",
            field="--user",
            hint="`mbd data show --user U` lists a person's records",
        )
    model = serving(session)
    refused, left_out = _not_used(session, model, subject, without)
    given = {n: x for n, x in present(record, 0).items() if n not in refused | left_out}
    return predict_with(model, given, refused, left_out)


def predict_input(
    session: Session, source: Path, *, user: str, without: Iterable[str] = ()
) -> Prediction:
    """Predict for new features of one person: a `.npz` with one array per modality.

    What may not be used is not even read: whatever arrives of a revoked channel, and
    however broken it is, changes nothing.

    Raises:
        DataError: Not such a file, or an array that does not fit the data set.
        NotFoundError: No such file, modality or model.
        RefusedError: Revocations leave no channel.
        UsageError: `without` leaves none.
    """
    model = serving(session)
    refused, left_out = _not_used(session, model, user, without)
    given = read_arrays(source, model.policy.schema.modalities, skip=refused | left_out)
    return predict_with(model, given, refused, left_out)


def predict_arrays(
    session: Session,
    arrays: Mapping[str, npt.NDArray[Any]],
    *,
    user: str,
    without: Iterable[str] = (),
) -> Prediction:
    """The same for arrays in memory: (steps, width) or (width,) by modality.

    Raises:
        DataError: An array that does not fit the data set.
        NotFoundError: No such modality or model.
        RefusedError: Revocations leave no channel.
        UsageError: `without` leaves none.
    """
    model = serving(session)
    refused, left_out = _not_used(session, model, user, without)
    given = check_arrays(arrays, model.policy.schema.modalities, skip=refused | left_out)
    return predict_with(model, given, refused, left_out)


def _not_used(
    session: Session, model: ServedModel, subject: str, without: Iterable[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Channels that this person revoked, and those that the caller leaves out."""
    schema, suppressed = model.policy.schema, session.suppressions
    refused = frozenset(name for name in schema.names if suppressed.blocks(subject, name))
    return refused, frozenset(schema.modality(name).name for name in without)


def predict_with(
    model: ServedModel,
    given: Arrays,
    refused: Collection[str] = (),
    left_out: Collection[str] = (),
) -> Prediction:
    """Predict from exactly these channels; the others are named only to be told about.

    Raises:
        RefusedError, UsageError, DataError: There is none.
    """
    if not given:
        _refuse_nothing(refused, left_out)
    scores = model.predict(given)
    task = model.policy.schema.task
    classes = task.kind == "classification"
    absent = tuple(name for name in model.policy.schema.names if name not in given)
    return Prediction(
        prediction=task.classes[int(scores.argmax())] if classes else float(scores[0]),
        scores=dict(zip(task.classes, map(float, scores), strict=True)) if classes else None,
        used=tuple(sorted(given)),
        reconstructed=absent if model.policy.core == "trained" else (),
        refused=tuple(sorted(refused)),
        model=model.snapshot.model_id,
    )


def _refuse_nothing(refused: Collection[str], left_out: Collection[str]) -> None:
    """Say why there is nothing to predict from."""
    if refused:
        raise RefusedError(
            "no channel is left to predict from",
            code="predict.no_channel",
            field=", ".join(sorted(refused)),
            hint="revoked channels are never used",
        )
    if left_out:
        raise UsageError(
            "no channel is left to predict from", code="predict.no_channel", field="--without"
        )
    raise DataError("there is no array to predict from", code="predict.no_channel", field="--input")


def read_arrays(
    source: Path, infos: Iterable[ModalityInfo], *, skip: Collection[str] = ()
) -> dict[str, npt.NDArray[np.float32]]:
    """Arrays of one record by modality, (T, D) float32; `(D,)` is one step.

    Args:
        source: An `.npz` of plain arrays.
        infos: The modalities that there are.
        skip: Those not to be read.

    Raises:
        DataError: Not an archive of plain arrays, an unknown name, a wrong shape, a bad value.
        NotFoundError: There is no such file.
    """
    known = {info.name: info for info in infos}
    with Archive.open(source, "--input") as archive:
        _refuse_unknown(archive.arrays, known, f"{source}: ")
        chosen = [name for name in archive.arrays if name not in skip]
        return {name: _steps(archive.array(name, name), known[name]) for name in chosen}


def check_arrays(
    arrays: Mapping[str, npt.NDArray[Any]],
    infos: Iterable[ModalityInfo],
    *,
    skip: Collection[str] = (),
) -> dict[str, npt.NDArray[np.float32]]:
    """The same for arrays that are in memory already.

    Raises:
        DataError: An unknown name, a wrong shape, a bad value.
    """
    known = {info.name: info for info in infos}
    _refuse_unknown(arrays, known)
    return {
        name: _steps(np.asarray(array), known[name])
        for name, array in sorted(arrays.items())
        if name not in skip
    }


def _refuse_unknown(names: Iterable[str], known: Collection[str], where: str = "") -> None:
    for name in names:
        if name not in known:
            raise DataError(
                f"{where}no modality {name!r}; the model has {', '.join(known)}", field=name
            )


def _steps(array: npt.NDArray[np.generic], info: ModalityInfo) -> npt.NDArray[np.float32]:
    steps = array[None, :] if array.ndim == 1 else array
    if steps.ndim != 2 or not len(steps) or steps.shape[1] != info.width:
        raise DataError(
            f"want (steps, {info.width}) or ({info.width},), got {array.shape}", field=info.name
        )
    if steps.dtype.kind not in "fiu":
        raise DataError(f"want numbers, got {steps.dtype}", field=info.name)
    # A value too large for float32 becomes infinite here.
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(steps, np.float32)
    if not np.isfinite(found).all():
        raise DataError("holds a value that is NaN, infinite or beyond float32", field=info.name)
    return found
