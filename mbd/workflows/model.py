"""A model as it serves: frozen extractor, released heads, one prediction path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mbd.data.records import Records
from mbd.head.feature_map import quantise, quantise_targets
from mbd.head.integers import Integers
from mbd.head.predict import head_scores
from mbd.model.inference import Extractor, Record, Row
from mbd.model.scaling import Scaler
from mbd.model.snapshot import load_core
from mbd.values import Availability, Task, availability_name, parse_availability
from mbd.workflows.current import CurrentModel
from mbd.workflows.policy import HeadDesign
from mbd.workflows.session import Session
from mbd.workflows.snapshots import Weights

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ServedModel(CurrentModel):
    """A released model that predicts; core and heads are read when first used."""

    def in_memory(self) -> ServedModel:
        """The same model after reading its core and every head; needs no file any more.

        Raises:
            IntegrityError: A file is missing, torn or altered.
        """
        _ = self.extractor
        for head in self.policy.heads:
            self.weights(head)
        return self

    @cached_property
    def extractor(self) -> Extractor:
        """Scaler and core."""
        core = None
        if self.policy.core == "trained":
            for path in ("core.json", "core.safetensors"):
                self.snapshot.read(path)  # against the manifest, before the core's own check
            core = load_core(self.snapshot.folder)
        family = [parse_availability(name) for name in self.policy.heads]
        return Extractor(Scaler.from_json(self.policy.scaler), family, core, self.policy.base)

    @cached_property
    def _weights(self) -> dict[str, Weights]:
        return {}

    def weights(self, head: str) -> Weights:
        """A released head, read once."""
        if head not in self._weights:
            self._weights[head] = self.snapshot.head(head).weights
        return self._weights[head]

    def predict(self, record: Record) -> Floats:
        """`core(x, p) + (q/Q)^T W_p` for the modalities given: (K,)."""
        row = self.extractor.row(record)
        head = availability_name(record)
        return np.asarray(row.prediction + self.correction(head, row.features[None])[0])

    def correction(self, head: str, features: Floats) -> Floats:
        """What the head adds: (n, dv) features -> (n, K)."""
        design = self.policy.heads[head]
        q = design.feature_map.expand(quantise(features, design.feature_map.clip))
        return head_scores(q, self.weights(head), design.constants.grid, design.constants.scale)

    def predict_many(self, records: Records, available: Availability) -> Floats:
        """Predictions for records that have exactly these modalities: (n, K)."""
        records_in = (present(records, index) for index in range(len(records)))
        rows = [self.extractor.row(record) for record in records_in]
        core = np.stack([row.prediction for row in rows])
        features = np.stack([row.features for row in rows])
        return np.asarray(core + self.correction(availability_name(available), features))


def serving(session: Session) -> ServedModel:
    """The current model, all of it in memory: a writer may replace its files meanwhile.

    Raises:
        NotFoundError: None was trained yet.
    """

    def read() -> ServedModel:
        current = session.model()
        return ServedModel(current.snapshot, current.policy).in_memory()

    return session.steadily(read)


def present(records: Records, index: int) -> Record:
    """The modalities that one record has."""
    return {name: x[index] for name, x in records.x.items() if x[index] is not None}  # type: ignore[misc]


def quantised(
    rows: Iterable[Row], targets: Floats, design: HeadDesign
) -> tuple[Integers, Integers]:
    """Integer rows of one head: v (n, dv) int16 and the residual target t (n, K) int32."""
    found = list(rows)
    features = np.stack([row.features for row in found])
    core = np.stack([row.prediction for row in found])
    v = quantise(features, design.feature_map.clip)
    return v, quantise_targets(targets - core, design.constants.scale.target_bits)


def targets_of(task: Task, labels: Floats) -> Floats:
    """What the model should have said: label units, or one-hot classes: (n, K)."""
    if task.kind == "regression":
        return np.asarray(labels, np.float64)[:, None]
    return np.eye(task.outputs)[labels.astype(np.intp)]
