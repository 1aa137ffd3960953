"""Entries with bodies for tests."""

from datetime import UTC, datetime, timedelta

from mbd.canonical.digest import b64encode
from mbd.canonical.json import dumps
from mbd.ledger.entry import signed_entry, unsigned_entry
from mbd.ledger.log import Labels
from mbd.signing.dsse import pae

START = datetime(2026, 1, 1, tzinfo=UTC)
PAYLOAD_TYPE = "application/vnd.in-toto+json"


def note_entry(number=0):
    """An unsigned entry of day `number`, and its body."""
    body = dumps({"number": number})
    return unsigned_entry("attempt", START + timedelta(days=number), body), body


def certificate(identity, modalities, guarantee_class="certified", day=0):
    """A signed entry, its envelope and its labels; the signature is not a real one."""
    statement = {
        "predicate": {
            "certificateId": identity,
            "deletion": {"modalities": modalities},
            "guarantee": {"class": guarantee_class},
        }
    }
    payload, signature = dumps(statement), b"s" * 64
    envelope = {
        "payload": b64encode(payload),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": b64encode(signature)}],
    }
    entry = signed_entry(
        "certificate", START + timedelta(days=day), pae(PAYLOAD_TYPE, payload), [signature]
    )
    return entry, dumps(envelope), Labels(guarantee_class, tuple(modalities), identity)


def append(log, *arguments):
    """Append in a transaction of its own."""
    with log.database.transaction() as connection:
        return log.append(connection, *arguments)


def fill(log, count):
    """Append `count` numbered entries."""
    for number in range(count):
        append(log, *note_entry(number))
