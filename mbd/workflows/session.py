"""A session on a workspace: its key, databases, log and current snapshots in one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from mbd.data.buckets import MANIFEST
from mbd.data.prepared import PreparedStore
from mbd.data.store import Store
from mbd.database import pointers, suppressions
from mbd.database.batches import Batches
from mbd.database.engine import Database
from mbd.database.secrets import Secrets
from mbd.database.suppressions import Suppressions
from mbd.errors import IntegrityError, NotFoundError
from mbd.ledger.bodies import KeyOf, Vault
from mbd.ledger.log import Log
from mbd.ledger.signer import log_signer
from mbd.signing.keys import Signer
from mbd.signing.signers import open_signer
from mbd.workflows.current import CurrentModel
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot
from mbd.workspace.files import storage_errors
from mbd.workspace.layout import Workspace
from mbd.workspace.ledger_place import Place, ledger_place
from mbd.workspace.settings import Settings

KEY_BYTES = 32

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """Everything a workflow needs of a workspace; opens nothing before it is used."""

    workspace: Workspace
    settings: Settings

    @cached_property
    def key(self) -> bytes:
        """The workspace key: names subjects inside databases and buckets.

        Raises:
            IntegrityError: The file is missing or not 32 bytes.
        """
        path = self.workspace.workspace_key
        if not path.is_file():
            raise IntegrityError(f"{path} is missing", hint="restore it from a backup")
        with storage_errors(path):
            key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise IntegrityError(f"{path}: want {KEY_BYTES} bytes, got {len(key)}")
        return key

    @cached_property
    def database(self) -> Database:
        """Ledger, journal, suppressions, pointers."""
        return Database.open(self.ledger_place)

    @property
    def ledger_place(self) -> Place:
        """Where they are: `ledger.db`, or a schema on a server."""
        return ledger_place(self.workspace, self.settings)

    @cached_property
    def secrets(self) -> Secrets:
        """Per-subject secrets and escrowed salts."""
        return Secrets.open(self.workspace.secrets_db)

    @cached_property
    def issuer_key(self) -> Signer:
        """Signs certificates."""
        return open_signer(self.settings.issuer_key, self.workspace.root)

    def forget_issuer_key(self) -> None:
        """Read it anew when it is needed next: it was replaced."""
        self.__dict__.pop("issuer_key", None)

    @cached_property
    def log_key(self) -> Signer:
        """Signs checkpoints."""
        return open_signer(self.settings.log_key, self.workspace.root)

    @cached_property
    def log(self) -> Log:
        """The transparency log, able to append and sign."""
        return open_log(self.workspace, self.settings, self.database, self.log_key)

    def body_keys(self) -> KeyOf:
        """The keys of sealed bodies, as far as they are here."""
        return Vault(self.workspace.secrets_db).reader()

    @property
    def suppressions(self) -> Suppressions:
        """Which channels are revoked, read afresh."""
        with self.database.read() as connection:
            return suppressions.load(connection, self.key)

    @property
    def erased_channels(self) -> Suppressions:
        """Those of the revoked channels that nothing may be stored of, read afresh.

        What waits for a retraining is switched off, and rightly still stored.
        """
        with self.database.read() as connection:
            return suppressions.load_erased(connection, self.key)

    @property
    def store_folder(self) -> Path:
        """Where the data store is, or will be."""
        return self.workspace.data / "store"

    def has_data(self) -> bool:
        """Whether anything was imported."""
        return (self.store_folder / MANIFEST).is_file()

    def store(self) -> Store:
        """The data store.

        Raises:
            NotFoundError: Nothing was imported yet.
        """
        return Store.open(self.store_folder, self.key)

    def prepared(self, training_id: str) -> PreparedStore:
        """The prepared rows of one training run."""
        return PreparedStore.open(self.prepared_folder(training_id), self.key)

    def prepared_folder(self, training_id: str) -> Path:
        """Where prepared rows of a training run live."""
        return self.prepared_root / training_id

    @property
    def prepared_root(self) -> Path:
        """Where the prepared rows of every training run live."""
        return self.workspace.data / "prepared"

    def find_model(self) -> ModelSnapshot | None:
        """The current model, if one was trained."""
        with self.database.read() as connection:
            pointer = pointers.get(connection, "model")
        if pointer is None:
            return None
        return ModelSnapshot.from_pointer(self.workspace.models, pointer)

    def model(self) -> CurrentModel:
        """The current model: its files and its policy.

        Raises:
            NotFoundError: None was trained yet.
        """
        return self.steadily(self._model)

    def _model(self) -> CurrentModel:
        snapshot = self.find_model()
        if snapshot is None:
            raise NotFoundError(
                "this workspace has no model yet", code="model.none", hint="run `mbd train`"
            )
        return CurrentModel.load(snapshot)

    def steadily(self, read: Callable[[], T]) -> T:
        """What `read` returns; read again if files vanished because a writer replaced them."""
        while True:
            generation = self._generation()
            try:
                return read()
            except IntegrityError:
                if self._generation() == generation:
                    raise

    def _generation(self) -> int:
        with self.database.read() as connection:
            return pointers.generation(connection)

    def state(self) -> StateSnapshot:
        """The current state.

        Raises:
            NotFoundError: No model was trained yet.
        """
        with self.database.read() as connection:
            pointer = pointers.get(connection, "state")
        if pointer is None:
            raise NotFoundError(
                "this workspace has no state yet", code="model.none", hint="run `mbd train`"
            )
        return StateSnapshot.from_pointer(self.workspace.state, pointer)

    def models_using(self, subject: str) -> list[dict[str, Any]]:
        """Models that learned from a subject: through which heads, in how many rows."""
        if self.find_model() is None:
            return []
        model = self.model()
        policy = model.policy
        rows = self.prepared(policy.training_id).rows_of(subject)
        heads = {head: len(found) for head, found in sorted(rows.items())}
        cohort = self.store().schema.cohorts.cohort_of(subject)
        blocks = [
            block.name
            for block in policy.provenance
            if block.kind != "head" and cohort in block.cohorts
        ]
        if not heads and not blocks:
            return []
        return [{"model": model.snapshot.model_id, "heads": heads, "blocks": blocks}]


def interrupted(session: Session) -> list[str]:
    """Ids of the batches that were begun and are not finished, the oldest first."""
    with session.database.read() as connection:
        return Batches(connection).open(queued=False)


def open_log(
    workspace: Workspace, settings: Settings, database: Database, key: Signer | None = None
) -> Log:
    """The log of a workspace with its signing key; the one of the settings, if none is given."""
    signer = log_signer(settings.origin, key or open_signer(settings.log_key, workspace.root))
    return Log(database, signer, vault=Vault(workspace.secrets_db))
