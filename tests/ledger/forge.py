"""What somebody with write access to the database could do to a log."""

from sqlalchemy import delete, insert, select, update

from mbd.canonical.tree import leaf_hash
from mbd.database import tables
from mbd.ledger.merkle import RightEdge
from mbd.ledger.note import Checkpoint, sign_checkpoint


def change(log, *statements):
    """Execute statements in one transaction, foreign keys looked at last."""
    with log.database.transaction() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for statement in statements:
            connection.execute(statement)


def delete_entry(index):
    """Statements that delete an entry and its body."""
    return [
        delete(table).where(table.c.entry_index == index) for table in (tables.body, tables.entry)
    ]


def replace_leaf(index, entry):
    """Statements that put another leaf, with its hash, in the place of one."""
    row, body = tables.entry, tables.body
    values = {"leaf": entry.leaf_bytes(), "leaf_hash": entry.leaf_hash()}
    values |= {"type": entry.type, "time": entry.time}
    return [
        delete(body).where(body.c.entry_index == index),
        update(row).where(row.c.entry_index == index).values(**values),
    ]


def swap(log, one, other):
    """Swap two rows, with everything that is listed in them."""
    row, body = tables.entry, tables.body
    with log.database.read() as connection:
        query = select(row).where(row.c.entry_index.in_([one, other])).order_by(row.c.entry_index)
        first, second = (dict(found._mapping) for found in connection.execute(query))
    for found in (first, second):
        del found["entry_index"]
    change(
        log,
        delete(body).where(body.c.entry_index.in_([one, other])),
        update(row).where(row.c.entry_index == one).values(**second),
        update(row).where(row.c.entry_index == other).values(**first),
    )


def rebuild(log, signer=None):
    """Recompute every subtree from the leaves; with a signer, sign every checkpoint anew."""
    with log.database.read() as connection:
        query = select(tables.entry.c.leaf).order_by(tables.entry.c.entry_index)
        leaves = connection.execute(query).scalars().all()
        sizes = connection.execute(select(tables.checkpoint.c.size)).scalars().all()
    edge, nodes, notes = RightEdge(lambda level, index: b"", 0), [], []
    for leaf in leaves:
        for level, at, digest in edge.append(leaf_hash(leaf)):
            nodes.append({"level": level, "node_index": at, "hash": digest})
        if signer is not None and edge.size in sizes:
            head = Checkpoint(log.origin, edge.size, edge.root())
            notes.append({"size": edge.size, "note": sign_checkpoint(head, signer)})
    change(log, delete(tables.node), update(tables.head).values(size=edge.size))
    with log.database.transaction() as connection:
        connection.execute(insert(tables.node), nodes)
        if signer is not None:
            connection.execute(delete(tables.checkpoint))
            connection.execute(insert(tables.checkpoint), notes)
