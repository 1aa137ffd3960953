"""The tables of `ledger.db`. Changing one needs a migration (migrations/versions)."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

head = Table(
    "head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("size", Integer, nullable=False),
)
"""One row: how many entries the log has. Writers lock it."""

entry = Table(
    "entry",
    metadata,
    Column("entry_index", Integer, primary_key=True, autoincrement=False),
    Column("type", String(16), nullable=False),
    Column("time", String(20), nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    Column("guarantee_class", String(16)),
    Column("modalities", Text),
    Column("certificate_id", String(26)),
    Index("entry_certificate", "certificate_id"),
    Index("entry_type", "type", "entry_index"),
    Index("entry_class", "guarantee_class", "entry_index"),
    Index("entry_modalities", "modalities", "entry_index"),
    Index("entry_time", "time", "entry_index"),
)
"""The leaves, and what may be published to find them by: never a subject.

`modalities` is a canonical availability name such as 'audio+text'.
"""

node = Table(
    "node",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("node_index", Integer, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
)
"""The hash of every complete subtree: 2**level leaves from node_index * 2**level on."""

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)
"""The signed note of each size that was published."""

body = Table(
    "body",
    metadata,
    Column("entry_index", ForeignKey("entry.entry_index"), primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)
"""What an entry's digest is of; may be erased."""

batch = Table(
    "batch",
    metadata,
    Column("batch_id", String(26), primary_key=True),
    Column("queued", Boolean, nullable=False),
    Column("detail", Text),
)
"""Requests that are carried out together: one state, one release. `detail` is JSON that names
nobody, and is erased with that of the last request."""

request = Table(
    "request",
    metadata,
    Column("request_id", String(64), primary_key=True),
    Column("batch_id", ForeignKey("batch.batch_id")),
    Column("fingerprint", String(64), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("detail", Text),
    Column("attempts", Integer, nullable=False),
    Column("received_at", String(20), nullable=False),
    Column("due_by", String(20), nullable=False),
    Column("certificate_id", String(26)),
    Column("entry_index", ForeignKey("entry.entry_index")),
    Column("completed_at", String(20)),
    Column("origin", String(64)),
    Index("request_batch", "batch_id"),
    Index("request_origin", "origin"),
)
"""One row per revocation. `fingerprint` is a keyed hash; `detail` is JSON that names the subject
and is erased when the request ends. `origin` is a keyed hash of the subject
while draws for one person add up: what was drawn and given up counts in the next request."""

suppression = Table(
    "suppression",
    metadata,
    Column("key_hash", String(64), primary_key=True),
    Column("request_id", ForeignKey("request.request_id"), primary_key=True),
    Column("at", String(20), nullable=False),
    Column("lifted_at", String(20)),
    Index("suppression_request", "request_id"),
)
"""Keyed hashes of (subject, modality) that were revoked, and by which request. In force until
consent is granted again; one of a channel at most."""

pointer = Table(
    "pointer",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)
"""What is current: the model, the state, and the generation that counts their changes."""

model = Table(
    "model",
    metadata,
    Column("model_id", String(64), primary_key=True),
    Column("created_at", String(20), nullable=False),
    Column("policy_index", ForeignKey("entry.entry_index")),
    Column("manifest_digest", String(64), nullable=False),
    Column("status", String(16), nullable=False),
)
"""Every model that was made, and whether it may still be used."""
