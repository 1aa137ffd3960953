"""Bodies of entries: what a leaf holds the digest of. Without them the tree still verifies."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from mbd.database.tables import body, entry


def erase_policies(connection: Connection, *, keep: int) -> None:
    """Erase the body of every policy but one; their leaves, with the digests, stay.

    A policy holds numbers that were computed from people: means of features, say. Where two
    of them differ by one person, they show that person.

    Args:
        connection: Inside a transaction.
        keep: Index of the policy that is in force.
    """
    policies = select(entry.c.entry_index).where(entry.c.type == "policy")
    connection.execute(
        delete(body).where(body.c.entry_index.in_(policies), body.c.entry_index != keep)
    )
