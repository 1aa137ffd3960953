"""Secrets that must be forgettable one by one: `secrets.db`, readable by its owner only.

A subject's secret keys the commitments in that subject's certificates. The escrow holds the
salts of a certificate for the auditor; those of what was deleted are forgotten at erasure. A
body key opens the sealed body of one ledger entry. What is forgotten is in no copy of
`ledger.db` either: nothing there says it.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    Delete,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
)

from mbd.database.connection import (
    create_database,
    sqlite_engine,
    transaction,
    truncating_checkpoint,
)
from mbd.errors import IntegrityError, NotFoundError, VersionError

SCHEMA_VERSION = 2
SECRET_BYTES = 32

_metadata = MetaData()
_subject = Table(
    "subject_secret",
    _metadata,
    Column("subject_hash", String(64), primary_key=True),
    Column("secret", LargeBinary(SECRET_BYTES), nullable=False),
)
_escrow = Table(
    "escrow",
    _metadata,
    Column("certificate_id", String(26), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("salt", LargeBinary(SECRET_BYTES), nullable=False),
)
_body_key = Table(
    "body_key",
    _metadata,
    Column("entry_index", Integer, primary_key=True, autoincrement=False),
    Column("key", LargeBinary(SECRET_BYTES), nullable=False),
)


@dataclass(frozen=True)
class Secrets:
    """The secrets of one workspace. Holds no open connection."""

    path: Path
    engine: Engine

    @classmethod
    def create(cls, path: Path) -> Secrets:
        """Make the file; it appears complete or not at all.

        Raises:
            ConflictError: It exists.
        """
        create_database(path, _make_tables)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Secrets:
        """Open an existing file; one of an older version gets the tables that it lacks.

        Raises:
            NotFoundError: There is no such file.
            IntegrityError: It is not such a database.
            VersionError: A newer program made it.
        """
        if not path.is_file():
            raise NotFoundError(
                f"{path}: no such database",
                code="database.not_found",
                hint="restore it from a backup",
            )
        opened = cls(path, sqlite_engine(path))
        with opened._read() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version == 0:
            raise IntegrityError(
                f"{path}: not a database of secrets",
                code="database.corrupt",
                hint="restore it from a backup",
            )
        if version > SCHEMA_VERSION:
            raise VersionError(f"{path} has schema {version}; this program knows {SCHEMA_VERSION}")
        if version < SCHEMA_VERSION:
            with opened._write() as connection:
                _make_tables(connection)
        return opened

    def subject_secrets(self, subject_hashes: Iterable[str]) -> dict[str, bytes]:
        """The secrets of subjects (named by keyed hashes), 32 bytes each; made on first use."""
        wanted = set(subject_hashes)
        with self._write() as connection:
            query = select(_subject).where(_subject.c.subject_hash.in_(wanted))
            found = {name: bytes(secret) for name, secret in connection.execute(query)}
            fresh = {name: secrets.token_bytes(SECRET_BYTES) for name in wanted - found.keys()}
            rows = [{"subject_hash": name, "secret": secret} for name, secret in fresh.items()]
            if rows:
                connection.execute(insert(_subject), rows)
        return found | fresh

    def find_subject_secret(self, subject_hash: str) -> bytes | None:
        """The secret of a subject (named by a keyed hash), if there is one."""
        query = select(_subject.c.secret).where(_subject.c.subject_hash == subject_hash)
        with self._read() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else bytes(found)

    def forget_subjects(self, subject_hashes: Collection[str]) -> None:
        """Destroy secrets of subjects; call `truncating_checkpoint` afterwards."""
        with self._write() as connection:
            mine = _subject.c.subject_hash.in_(list(subject_hashes))
            connection.execute(delete(_subject).where(mine))

    def put_body_keys(self, keys: Mapping[int, bytes]) -> None:
        """Keep the keys of bodies, by entry index.

        Replaces those that an append left which never committed.
        """
        with self._write() as connection:
            rows = [{"entry_index": index, "key": key} for index, key in keys.items()]
            connection.execute(insert(_body_key).prefix_with("OR REPLACE"), rows)

    def body_keys(self, first: int, last: int) -> dict[int, bytes]:
        """The keys of bodies of entries from `first` to `last`, both included."""
        query = select(_body_key).where(_body_key.c.entry_index.between(first, last))
        with self._read() as connection:
            return {index: bytes(key) for index, key in connection.execute(query)}

    def forget_body_keys(self, indices: Collection[int]) -> None:
        """Destroy keys of bodies; call `truncating_checkpoint` afterwards."""
        with self._write() as connection:
            mine = _body_key.c.entry_index.in_(list(indices))
            connection.execute(delete(_body_key).where(mine))

    def put_salts(self, certificate_id: str, salts: Mapping[str, bytes]) -> None:
        """Keep the salts of one certificate; as `put_all_salts`."""
        self.put_all_salts({certificate_id: salts})

    def put_all_salts(self, salts: Mapping[str, Mapping[str, bytes]]) -> None:
        """Keep the salts of certificates; replaces those kept before under the same names.

        Args:
            salts: By certificate id and name.
        """
        with self._write() as connection:
            for certificate_id, named in salts.items():
                connection.execute(_matching(certificate_id, named))
                rows = [
                    {"certificate_id": certificate_id, "name": name, "salt": salt}
                    for name, salt in named.items()
                ]
                connection.execute(insert(_escrow), rows)

    def salts(self, certificate_id: str) -> dict[str, bytes]:
        """Every salt that is still kept for a certificate, by name."""
        query = select(_escrow.c.name, _escrow.c.salt)
        with self._read() as connection:
            rows = connection.execute(query.where(_escrow.c.certificate_id == certificate_id))
            return {name: bytes(salt) for name, salt in rows}

    def forget_salts(self, certificate_id: str, names: Collection[str]) -> None:
        """Destroy salts: nobody but the holder of the receipt can open those commitments.

        Raises:
            TemporaryError: A reader keeps the old bytes alive; ask again.
        """
        with self._write() as connection:
            connection.execute(_matching(certificate_id, names))
        self.truncating_checkpoint()

    def truncating_checkpoint(self) -> None:
        """Empty the write-ahead log, so that what was forgotten is in no file any more."""
        truncating_checkpoint(self.engine, self.path)

    def _read(self) -> AbstractContextManager[Connection]:
        return transaction(self.engine, self.path, write=False)

    def _write(self) -> AbstractContextManager[Connection]:
        return transaction(self.engine, self.path, write=True)


def _make_tables(connection: Connection) -> None:
    _metadata.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _matching(certificate_id: str, names: Collection[str]) -> Delete:
    return delete(_escrow).where(
        _escrow.c.certificate_id == certificate_id, _escrow.c.name.in_(list(names))
    )
