"""Write the current model into a folder of its own, for use without the workspace."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from mbd.canonical.digest import sha256_hex
from mbd.canonical.times import timestamp
from mbd.database import models
from mbd.errors import ConflictError, UsageError
from mbd.evaluation.outcome import Evaluation
from mbd.ledger.queries import Filter, list_entries
from mbd.workflows.current import CurrentModel
from mbd.workflows.exported import CARD_FILE, MANIFEST_FILE, MODEL_FOLDER, Export
from mbd.workflows.model_card import Certified, model_card
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, remove_folder
from mbd.workspace.files import fsync_directory, storage_errors, write_all_atomically


def export_model(session: Session, folder: Path, evaluation: Evaluation | None = None) -> Export:
    """Write the model that is current; the folder appears whole or not at all.

    Args:
        session: The workspace.
        folder: Where; it must not exist, and lie outside the workspace, whose files are
            those that a revocation reaches.
        evaluation: Of this model, for the card.

    Raises:
        NotFoundError: There is no model.
        ConflictError: Something is there already.
        UsageError: The folder is inside the workspace, or the evaluation of another model.
        StorageError: The disk refused; nothing is left behind.
    """
    folder = folder.resolve()
    if folder.exists():
        raise ConflictError(
            f"{folder} exists; an export is never overwritten", code="model.exists", field="DIR"
        )
    if folder.is_relative_to(session.workspace.root):
        raise UsageError(
            f"{folder} is inside the workspace",
            field="DIR",
            hint="an export is a copy that no revocation reaches: put it elsewhere",
        )
    # The log first: what supersedes the model is entered after this size.
    size = session.log.latest()
    model, files = session.steadily(lambda: _read(session))
    if evaluation is not None and evaluation.model != model.snapshot.model_id:
        raise ConflictError("the model was replaced meanwhile", hint="try again")
    with session.database.read() as connection:
        entry = models.policy_index(connection, model.snapshot.model_id)
        since = list_entries(connection, Filter(after=entry, type="certificate"))
    certificates = [
        Certified(str(one.certificate_id), str(one.guarantee_class), one.modalities, one.time)
        for one in since
    ]
    exported_at = timestamp(datetime.now(UTC))
    card = model_card(
        model, size.origin, exported_at, certificates=certificates, evaluation=evaluation
    ).encode()
    export = Export(
        model=ModelSnapshot(model.snapshot.model_id, folder / MODEL_FOLDER, model.snapshot.files),
        origin=size.origin,
        size=size.size,
        root=size.root.hex(),
        policy_entry=entry,
        exported_at=exported_at,
        card=sha256_hex(card),
    )
    inside = {f"{MODEL_FOLDER}/{path}": content for path, content in files.items()}
    _write(folder, inside | {CARD_FILE: card, MANIFEST_FILE: export.to_bytes()})
    return export


def _read(session: Session) -> tuple[CurrentModel, dict[str, bytes]]:
    model = session.model()
    return model, {one.path: model.snapshot.read(one.path) for one in model.snapshot.files}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    partial = folder.with_name(f".{folder.name}.partial")
    remove_folder(partial)
    try:
        with storage_errors(folder):
            for parent in sorted({(partial / path).parent for path in files}):
                parent.mkdir(parents=True, exist_ok=True)
        write_all_atomically({partial / path: content for path, content in files.items()})
        with storage_errors(folder):
            os.rename(partial, folder)
            fsync_directory(folder.parent)
    except BaseException:
        remove_folder(partial)
        raise
