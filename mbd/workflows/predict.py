"""One prediction: from what is there, minus what was revoked, minus what the caller leaves out."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mbd.data.records import Suppressions
from mbd.errors import DataError, NotFoundError, RefusedError
from mbd.values import ModalityInfo
from mbd.workflows.model import ServedModel, present
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


def predict_record(session: Session, record_id: str, *, without: Iterable[str] = ()) -> Prediction:
    """Predict for a stored record.

    Raises:
        NotFoundError: No such record, modality, data or model.
        RefusedError: No channel is left.
    """
    store = session.store()
    record = store.record(record_id)
    return _predict(session, record.subjects[0], present(record, 0), without)


def predict_input(
    session: Session, source: Path, *, user: str, without: Iterable[str] = ()
) -> Prediction:
    """Predict for new features of one person: a `.npz` with one array per modality.

    Raises:
        DataError: Not such a file, or an array that does not fit the data set.
        RefusedError: No channel is left.
    """
    infos = session.model().policy.schema.modalities
    return _predict(session, user, read_arrays(source, infos), without)


def _predict(session: Session, subject: str, given: Arrays, without: Iterable[str]) -> Prediction:
    model = session.model()
    left_out = {model.policy.schema.modality(name).name for name in without}
    suppressed = session.suppressions
    refused = _refused(suppressed, subject, model)
    used = sorted(set(given) - left_out - set(refused))
    if not used:
        raise RefusedError(
            "no channel is left to predict from",
            code="predict.no_channel",
            field=", ".join(refused) or None,
            hint="revoked channels are never used" if refused else None,
        )
    scores = model.predict({name: given[name] for name in used})
    task = model.policy.schema.task
    absent = tuple(name for name in model.policy.schema.names if name not in used)
    return Prediction(
        prediction=float(scores[0])
        if task.kind == "regression"
        else task.classes[int(scores.argmax())],
        scores=None
        if task.kind == "regression"
        else dict(zip(task.classes, map(float, scores), strict=True)),
        used=tuple(used),
        reconstructed=absent if model.policy.core == "trained" else (),
        refused=refused,
        model=model.snapshot.model_id,
    )


def _refused(suppressed: Suppressions, subject: str, model: ServedModel) -> tuple[str, ...]:
    names = model.policy.schema.names
    return tuple(name for name in names if suppressed.blocks(subject, name))


def read_arrays(source: Path, infos: Iterable[ModalityInfo]) -> dict[str, npt.NDArray[np.float32]]:
    """Arrays of one record by modality, (T, D) float32; `(D,)` is one step.

    Raises:
        DataError: Not an archive of plain arrays, an unknown name, a wrong shape, a bad value.
        NotFoundError: There is no such file.
    """
    known = {info.name: info for info in infos}
    found: dict[str, npt.NDArray[np.float32]] = {}
    try:
        with np.load(source, allow_pickle=False) as archive:
            for name in archive.files:
                if name not in known:
                    raise DataError(
                        f"{source}: no modality {name!r}; the model has {', '.join(known)}",
                        field=name,
                    )
                found[name] = _steps(archive[name], known[name])
    except FileNotFoundError as error:
        raise NotFoundError(f"{source}: no such file", field="--input") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise DataError(
            f"{source}: not a .npz of plain arrays: {error}", field="--input"
        ) from error
    return found


def _steps(array: npt.NDArray[np.generic], info: ModalityInfo) -> npt.NDArray[np.float32]:
    steps = array[None, :] if array.ndim == 1 else array
    if steps.ndim != 2 or not len(steps) or steps.shape[1] != info.width:
        raise DataError(
            f"want (steps, {info.width}) or ({info.width},), got {array.shape}", field=info.name
        )
    if steps.dtype.kind not in "fiu" or not np.isfinite(steps).all():
        raise DataError("want finite numbers", field=info.name)
    return np.ascontiguousarray(steps, np.float32)
