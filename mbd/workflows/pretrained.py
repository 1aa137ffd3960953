"""A released model without its workspace: `Model.from_pretrained(DIR).predict({...})`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy.typing as npt

from mbd.errors import RefusedError, UsageError
from mbd.values import Task
from mbd.workflows.exported import Export, read_export
from mbd.workflows.model import ServedModel
from mbd.workflows.policy import Policy
from mbd.workflows.predict import Prediction, check_arrays, predict_with
from mbd.workflows.snapshots import POLICY_FILE
from mbd.workflows.standing import UNCHECKED, Standing, standing_by, standing_in

if TYPE_CHECKING:
    from mbd.api import Workspace

File = str | PathLike[str]


class Model:
    """An exported model, all of it in memory."""

    def __init__(self, export: Export, served: ServedModel, standing: Standing) -> None:
        """Use `from_pretrained`."""
        self._served = served
        self.export = export
        """What the folder says about itself."""
        self.standing = standing
        """Whether it is the model in service, as far as that is known."""

    @classmethod
    def from_pretrained(
        cls,
        folder: File,
        *,
        ledger: Workspace | File | None = None,
        certificates: Iterable[File] = (),
        trust: File | None = None,
        allow_superseded: bool = False,
        unchecked: bool = False,
    ) -> Self:
        """Read what `mbd model export` wrote; nothing in it may have changed.

        A revocation replaces the model of a service, and no copy of it. So it must be said how
        to know that this one is current, or that it does not matter.

        Args:
            folder: The exported folder.
            ledger: The workspace that it comes from.
            certificates: Bundles of that service, best the newest; they need
            trust: a trust file. Without a ledger.
            allow_superseded: Load it although another model took its place, or may have.
            unchecked: Load it where nothing is known about that.

        Raises:
            NotFoundError: The folder holds no model.
            IntegrityError: Something in it is missing or altered.
            RefusedError: It is superseded (`model.superseded`), or nothing is known and that
                was not allowed (`model.unchecked`).
            UsageError: A certificate without a trust file.
        """
        export = read_export(Path(folder))
        standing = _standing(export, ledger, [Path(one) for one in certificates], trust)
        if standing.state == "superseded" and not allow_superseded:
            raise RefusedError(
                f"{folder} is superseded: {standing.why}",
                code="model.superseded",
                field="folder",
                hint="export the present model, or say allow_superseded=True",
            )
        if standing.state == "unknown" and not (unchecked or allow_superseded):
            raise RefusedError(
                f"whether {folder} is superseded is not known: {standing.why}",
                code="model.unchecked",
                field="folder",
                hint="give ledger=, or certificates= and trust=; or say unchecked=True",
            )
        policy = Policy.from_bytes(export.model.read(POLICY_FILE))
        return cls(export, ServedModel(export.model, policy).in_memory(), standing)

    def __repr__(self) -> str:
        return f"Model({self.export.model.model_id!r}, {self.standing.state})"

    @property
    def modalities(self) -> tuple[str, ...]:
        """The channels that it reads, sorted; any of them may be absent."""
        return self._served.policy.schema.names

    @property
    def task(self) -> Task:
        """What it predicts."""
        return self._served.policy.schema.task

    def predict(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Prediction:
        """Predict for one record from the channels given; `mbd predict --input`.

        Whose record it is cannot be told here: leave out what that person revoked.

        Args:
            inputs: (steps, width) or (width,) by modality.

        Raises:
            DataError: No array, an unknown name, a wrong shape or a bad value.
        """
        given = check_arrays(inputs, self._served.policy.schema.modalities)
        return predict_with(self._served, given)


def _standing(
    export: Export, ledger: Workspace | File | None, certificates: list[Path], trust: File | None
) -> Standing:
    if ledger is not None:
        place = ledger if isinstance(ledger, str | PathLike) else ledger.root
        return standing_in(Path(place), export)
    if certificates and trust is None:
        raise UsageError("certificates need a trust file to be believed", field="trust")
    if certificates and trust is not None:
        return standing_by(certificates, Path(trust), export)
    return UNCHECKED
