"""What a certificate may say about stores and about what erasure cannot reach: fixed sentences.

The program that erases picks sentences from here, and the verifier knows no others: an issuer
cannot word a row of its own, nor leave out a place that every certificate has to name. A new
store, action or topic is a new line of these tables.
"""

from __future__ import annotations

from collections.abc import Mapping

from mbd.errors import DataError

STORES: Mapping[str, Mapping[str, str]] = {
    "records": {
        "rewritten": "the subject's bucket was rewritten without the channel",
    },
    "prepared rows": {
        "rewritten": "rows that used the channel were removed, the bucket rewritten",
        "none": "no row used the channel: nothing to remove",
        "replaced": "every row was made again without the channel, those before destroyed",
    },
    "state": {
        "replaced": "the state before was destroyed",
    },
    "model": {
        "replaced": "the heads before were destroyed",
        "retrained": "core, scaling, policy and heads before were destroyed",
    },
    "journal and ledger": {
        "never-held": "values were never written there",
        "policies-erased": (
            "values were never written there; the policies of earlier models were erased, their "
            "digests stay"
        ),
    },
}
"""Name of a store -> what may be done to it -> the sentence for it."""

ALWAYS = ("records", "prepared rows", "journal and ledger")
"""Stores that every certificate lists."""
IF_REPLACED = ("state", "model")
"""Stores that a certificate lists too if heads were replaced."""

SCANS: Mapping[str, str] = {
    "clean": "searched for the erased values: none found",
}
"""Result of the search afterwards -> the sentence for it."""

OUT_OF_SCOPE: Mapping[str, Mapping[str, str]] = {
    "suppression list and request journal": {
        "retained": (
            "keyed hashes of subject and channel are retained, so that the channel stays off"
        ),
    },
    "the subject's receipt": {
        "handed-over": (
            "it names the items and holds fingerprints of their values: it is handed over, and "
            "the issuer's copy is to be deleted then"
        ),
    },
    "what was computed from the channel": {
        "declared": "it goes with the channel only where the data set declares that it is derived",
    },
    "backups and file-system snapshots": {
        "elsewhere": (
            "copies made with `mbd backup` or otherwise: this program does not know where they "
            "are; `mbd restore` does not bring the channel back"
        ),
    },
    "storage below the file system": {
        "below": "journals and worn flash blocks may keep old bytes",
    },
    "copies of earlier models and their predictions": {
        "released": "whoever holds a release from before holds what it learned",
    },
    "labels": {
        "unknown": "people who gave them may have perceived the channel",
        "declared": (
            "people who gave them perceived the channel, as the data set declares: they stay"
        ),
    },
}
"""Topic -> the sentences for it; every certificate names all of them, in this order."""


def store_row(store: str, action: str, scan: str = "clean") -> dict[str, str]:
    """One row of `stores`, as the certificate's JSON holds it.

    Args:
        store: A key of `STORES`.
        action: A key of `STORES[store]`.
        scan: A key of `SCANS`.

    Raises:
        KeyError: No such sentence; a defect of the caller.
    """
    return {"store": store, "action": STORES[store][action], "scan": SCANS[scan]}


def out_of_scope(*, labels_derived: bool = False) -> tuple[dict[str, str], ...]:
    """`outOfScope` of a certificate.

    Args:
        labels_derived: Whether the data set declares that the labels derive from a modality
            that was revoked.
    """
    chosen = {topic: next(iter(reasons.values())) for topic, reasons in OUT_OF_SCOPE.items()}
    if labels_derived:
        chosen["labels"] = OUT_OF_SCOPE["labels"]["declared"]
    return tuple({"what": what, "reason": reason} for what, reason in chosen.items())


RETRAINED = {
    "prepared rows": "replaced",
    "model": "retrained",
    "journal and ledger": "policies-erased",
}
"""What is done to a store if, and only if, the whole model was trained again."""


def check_stores(
    rows: list[tuple[str, str, str]], *, replaced: bool, retrained: bool = False
) -> None:
    """Every store that has to be listed is, once, in the order and words of the registry.

    Args:
        rows: (store, action, scan) in the order of the certificate.
        replaced: Whether heads were replaced.
        retrained: Whether the whole model was trained again.

    Raises:
        DataError: With the code `scope.store`.
    """
    for store, action, scan in rows:
        if action not in STORES.get(store, {}).values() or scan not in SCANS.values():
            raise DataError(f"stores: {store[:60]!r} in other words", code="scope.store")
    found = [store for store, _, _ in rows]
    listed = {*ALWAYS, *(IF_REPLACED if replaced else ())}
    wanted = [store for store in STORES if store in listed]
    if found != wanted:
        raise DataError(
            f"stores: want {', '.join(wanted)}, found {', '.join(found)[:200] or 'none'}",
            code="scope.store",
        )
    actions = {store: action for store, action, _ in rows}
    for store, action in RETRAINED.items():
        if (actions.get(store) == STORES[store][action]) != retrained:
            raise DataError(
                f"{store}: {STORES[store][action]!r} if and only if all was trained again",
                code="scope.store",
            )
    removed = actions["prepared rows"] == STORES["prepared rows"]["rewritten"]
    if removed != (replaced and not retrained):
        raise DataError("rows are removed if and only if heads are replaced", code="scope.store")


def check_out_of_scope(rows: list[tuple[str, str]]) -> None:
    """Nothing that erasure cannot reach is left out or worded otherwise.

    Raises:
        DataError: With the code `scope.topic`.
    """
    known = all(reason in OUT_OF_SCOPE.get(what, {}).values() for what, reason in rows)
    if not known or [what for what, _ in rows] != list(OUT_OF_SCOPE):
        raise DataError(
            "outOfScope is not the list of what erasure cannot reach", code="scope.topic"
        )
