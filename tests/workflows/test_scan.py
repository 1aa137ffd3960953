"""After a revocation nothing is left, and whatever is planted afterwards is found."""

from __future__ import annotations

import io
import os
import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mbd.canonical.digest import b64encode
from mbd.certificate.receipt import parse_receipt
from mbd.data.columns import sequence_bytes
from tests.workspaces import Ran, TrainedWorkspace, must_run, run_mbd, spawn_mbd


def erased_values(workspace: TrainedWorkspace, user: str) -> list[bytes]:
    """Stored bytes of every audio value of a person, before they are erased."""
    column = workspace.session().store().read(subjects=[user]).x["audio"]
    return [sequence_bytes(value) for value in column if value is not None]


def erased_row(workspace: TrainedWorkspace, user: str) -> bytes:
    session = workspace.session()
    rows = session.prepared(session.model().policy.training_id).rows_of(user)
    return rows["audio"].v[0].astype("<i2").tobytes()


def scan(root: Path, receipt: str) -> Ran:
    """The scan, in a process that knows nothing but the files."""
    return spawn_mbd(root, "data", "scan", "--receipt", receipt, "--json")


def everything(root: Path) -> bytes:
    """All bytes on the disk but the receipt's, names of files included."""
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and p.parent.name != "receipts"]
    return b"".join(os.fsencode(path) + path.read_bytes() for path in files)


def test_nothing_is_left_and_everything_planted_is_found(trained_workspace):
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    values, row = erased_values(trained_workspace, user), erased_row(trained_workspace, user)
    before = everything(root)
    done = must_run(root, "revoke", "--user", user, "--modality", "audio", "--json").json
    receipt = done["receipt"]
    parsed = parse_receipt(Path(receipt).read_bytes())
    assert parsed.traces is not None

    after = everything(root)
    secrets = [
        *(value[start : start + 32] for value in values for start in range(0, len(value) - 32, 32)),
        *(bytes.fromhex(item.salt) for item in parsed.items),
    ]
    assert len(secrets) > 100
    assert all(secret in before for secret in secrets)
    assert not any(secret in after for secret in secrets)
    assert not any(name.encode() in after for name in parsed.traces.vanished)
    clean = scan(root, receipt)
    assert (clean.code, clean.json["found"]) == (0, []), clean.out
    assert clean.json["searchedFor"]["values"] > 100
    covered = {one["what"] for one in clean.json["notCovered"]}
    assert {"receipts/", "memory and swap", "backups and copies elsewhere"} <= covered

    plant(root, values, row)
    (root / "state" / "salt").write_bytes(b"7" + bytes.fromhex(parsed.items[0].salt))

    dirty = scan(root, receipt)
    assert dirty.code == 1
    assert {(one["file"], one["kind"]) for one in dirty.json["found"]} == {
        ("export.parquet", "features"),
        ("data/stray.npy", "features"),
        ("data/packed.npz", "features"),
        ("ledger.db", "features"),
        ("models/.heads.partial", "prepared rows"),
        ("staging/needles.json", "prepared rows"),
        ("state/salt", "salts"),
    }
    where = {one["where"] for one in dirty.json["found"] if one["file"] == "export.parquet"}
    assert where == {"voice of record r1"}


def plant(root: Path, values: list[bytes], row: bytes) -> None:
    """Erased values in every kind of place."""
    table = pa.table({"record_id": ["r0", "r1"], "voice": pa.array([b"", values[0]], pa.binary())})
    pq.write_table(table, root / "export.parquet", compression="zstd")
    clip = np.frombuffer(values[1], "<f4").reshape(-1, 12)
    np.save(root / "data" / "stray.npy", clip)
    packed = io.BytesIO()
    np.savez_compressed(packed, clip=clip)
    (root / "data" / "packed.npz").write_bytes(packed.getvalue())
    database = sqlite3.connect(root / "ledger.db")
    database.execute("create table stray (value blob)")
    database.execute("insert into stray values (?)", (values[2],))
    database.commit()
    database.close()
    (root / "models" / ".heads.partial").write_bytes(b"odd" + row)
    (root / "staging" / "needles.json").write_bytes(b'{"x":["%s"]}' % b64encode(row).encode())


def test_one_piece_anywhere_is_enough(trained_workspace):
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    values = erased_values(trained_workspace, user)
    receipt = must_run(root, "revoke", "--user", user, "--modality", "audio", "--json").json[
        "receipt"
    ]

    for number, value in enumerate(values[:5]):
        (root / "leftover").write_bytes(bytes(number) + value[:64] + b"\xff")
        found = run_mbd(root, "data", "scan", "--receipt", receipt, "--json")
        assert found.code == 1
        assert [one["file"] for one in found.json["found"]] == ["leftover"]
    (root / "leftover").write_bytes(values[0][:63])
    assert run_mbd(root, "data", "scan", "--receipt", receipt, "--json").code == 0


def test_a_scan_needs_the_whole_receipt_of_this_workspace(trained_workspace, tmp_path):
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    done = must_run(root, "revoke", "--user", user, "--modality", "audio", "--json").json
    shown = must_run(root, "receipt", "show", done["receipt"], "--json").json
    record = shown["items"][0]["record"]
    one = str(tmp_path / "one.json")

    must_run(root, "receipt", "item", done["receipt"], "--record", record,
             "--modality", "audio", "--out", one)  # fmt: skip

    assert shown["deletedItems"] == len(shown["items"]) > 1
    proved = must_run(root, "verify", done["bundle"], "--receipt", one, "--require", "subject")
    assert "1 erased item proved (an excerpt)" in proved.out
    excerpt = must_run(root, "receipt", "show", one, "--json").json
    assert (excerpt["kind"], len(excerpt["items"])) == ("excerpt", 1)
    refused = run_mbd(root, "data", "scan", "--receipt", one, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "receipt.excerpt")
    must_run(tmp_path, "init", "elsewhere")
    other = run_mbd(tmp_path / "elsewhere", "data", "scan", "--receipt", done["receipt"], "--json")
    assert (other.code, other.json["error"]["code"]) == (4, "receipt.elsewhere")
    assert run_mbd(root, "receipt", "show", str(root / "mbd.toml")).code == 1
    assert run_mbd(root, "receipt", "show", "absent").code == 2


@pytest.mark.parametrize("kind", ["link", "pipe", "torn"])
def test_what_a_scan_could_not_read_is_named(trained_workspace, kind):
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    done = must_run(root, "revoke", "--user", user, "--modality", "vision", "--json").json
    stray = root / "data" / "odd"
    if kind == "link":
        stray.symlink_to("/etc")
    elif kind == "pipe":
        os.mkfifo(stray)
    else:
        stray.write_bytes(b"PK\x03\x04" + bytes(50))

    scanned = must_run(root, "data", "scan", "--receipt", done["receipt"], "--json").json

    assert "data/odd" in {one["what"] for one in scanned["notCovered"]}
