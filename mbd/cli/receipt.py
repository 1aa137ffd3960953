"""`mbd receipt`: what a receipt holds, and an excerpt that shows one item of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mbd.canonical.text import printable
from mbd.certificate.receipt import (
    MAX_RECEIPT_BYTES,
    Receipt,
    TraceGroup,
    excerpt,
    parse_receipt,
)
from mbd.cli.output import emit, json_option, note, table
from mbd.errors import UsageError
from mbd.workspace.files import write_new

_ENTRY_CHARACTERS = 32  # base64 of the 24 bytes of a fingerprint


@click.group()
def receipt() -> None:
    """What a receipt holds; an excerpt for one item."""


@receipt.command(epilog="Example: mbd receipt show receipts/01J....json")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show(file: Path, as_json: bool) -> None:
    """What a receipt holds, in plain words."""
    payload = _payload(read_receipt(file))
    emit("receipt show", payload, as_json, _text(payload, file))


@receipt.command(epilog="Example: mbd receipt item r.json --record a1 --modality audio --out one")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--record", required=True, help="Id of the record.")
@click.option("--modality", required=True, help="Its channel that was erased.")
@click.option("--out", type=click.Path(path_type=Path), help="Write to this new file instead.")
@json_option
def item(file: Path, record: str, modality: str, out: Path | None, as_json: bool) -> None:
    """An excerpt that proves one erased item and shows none of the others.

    It is a receipt itself: `mbd verify cert.json --receipt EXCERPT` checks it. Whoever gets it
    learns who it is about.
    """
    made = excerpt(read_receipt(file), record, modality)
    content = made.to_bytes()
    if out is not None:
        write_new(out, content, mode=0o600, field="--out")
    payload = {**_payload(made), "out": str(out) if out else None}
    if out is None:
        payload["excerpt"] = made.model_dump(mode="json", by_alias=True)
    emit("receipt item", payload, as_json, str(out) if out else content.decode())
    if out is not None and not as_json:
        note(f"check it with: mbd verify {made.certificate_id}.json --receipt {out}")


def read_receipt(path: Path) -> Receipt:
    """The receipt in a file.

    Raises:
        UsageError: The file cannot be read.
        DataError: It is not a receipt.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_RECEIPT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{error.strerror or error}", field=str(path)) from error
    return parse_receipt(content)


def _payload(receipt: Receipt) -> dict[str, Any]:
    traces = receipt.traces
    return {
        "kind": "receipt" if receipt.whole else "excerpt",
        "certificateId": receipt.certificate_id,
        "subject": receipt.subject,
        "modalities": list(receipt.modalities),
        "opens": [
            name for name, one in receipt.openings.model_dump(by_alias=True).items() if one
        ],
        "deletedItems": receipt.tree_size,
        "items": [
            {"record": one.record, "modality": one.modality, "steps": one.steps,
             "split": one.split, "label": one.label, "index": one.index}
            for one in sorted(receipt.items, key=lambda one: (one.record, one.modality))
        ],
        "fingerprints": None if traces is None else sum(map(_fingerprints, traces.groups)),
        "vanished": None if traces is None else list(traces.vanished),
    }  # fmt: skip


def _items(listed: int, erased: int) -> str:
    if listed == erased:
        return f"{erased} erased item{'s' * (erased != 1)}"
    return f"{listed} of {erased} erased items"


def _joined(names: list[str]) -> str:
    """Like 'a, b and c'."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _fingerprints(group: TraceGroup) -> int:
    return len(group.entries) // _ENTRY_CHARACTERS


_OPENED = {
    "datasetBefore": "all data together with what was erased",
    "datasetAfter": "all data without it",
    "stateAfter": "the state that the model was solved from",
    "deletedSet": "the list of what was erased",
}
"""What each commitment of a certificate stands for, in plain words."""


def _text(payload: dict[str, Any], file: Path) -> str:
    rows = [(one["record"], one["modality"], one["steps"]) for one in payload["items"]]
    lines = [
        f"{payload['kind'].capitalize()} of certificate {payload['certificateId']}, "
        f"about {payload['subject']}: {', '.join(payload['modalities'])}.",
        "The certificate holds sealed digests, which tell nobody anything. This file unseals "
        f"{_joined([_OPENED[one] for one in payload['opens']])}.",
        f"It lists {_items(len(rows), payload['deletedItems'])}, with proofs:",
        table(("record", "modality", "steps"), rows),
        "Nothing was compared with the certificate yet. Compare: mbd verify "
        f"{payload['certificateId']}.json --receipt {printable(str(file))} --trust trust.toml",
    ]
    if payload["fingerprints"] is not None:
        lines += [
            f"{payload['fingerprints']} fingerprints of erased values, by which "
            "`mbd data scan --receipt` finds a value again; none shows a value.",
            f"{len(payload['vanished'])} records had nothing left and were removed.",
            "Whoever holds it can link the certificate to this person: "
            "it is theirs alone. `mbd receipt item` shows one item of it.",
        ]
    return "\n".join(lines)
