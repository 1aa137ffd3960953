"""Every model that was made, and the policy it was made under."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select, update

from mbd.canonical.times import timestamp
from mbd.database.tables import model
from mbd.database.upsert import insert_or_replace
from mbd.errors import NotFoundError

CURRENT, SUPERSEDED = "current", "superseded"


def add(
    connection: Connection, model_id: str, policy_index: int, manifest_digest: str, at: datetime
) -> None:
    """Record a model as the current one; all others are superseded. Again is fine."""
    connection.execute(update(model).values(status=SUPERSEDED))
    row = {
        "model_id": model_id,
        "created_at": timestamp(at),
        "policy_index": policy_index,
        "manifest_digest": manifest_digest,
        "status": CURRENT,
    }
    insert_or_replace(connection, model, row, "status")


def policy_index(connection: Connection, model_id: str) -> int:
    """Index of the ledger entry with a model's policy.

    Raises:
        NotFoundError: No such model.
    """
    query = select(model.c.policy_index).where(model.c.model_id == model_id)
    found = connection.execute(query).scalar()
    if found is None:
        raise NotFoundError(f"no model {model_id}", code="model.none")
    return int(found)
