"""What a copy of a workspace may hold beside the data, and what its maker may have put there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mbd.workflows.papers as papers_module
import mbd.workflows.steps as steps_module
from mbd.canonical.items import Item, root_of_items
from mbd.canonical.json import dumps
from mbd.canonical.tree import root_from_proof, tree_proofs, tree_root
from mbd.certificate.receipt import ItemProof, Receipt
from mbd.data.buckets import BucketFolder, NewBucket
from mbd.data.records import Records
from mbd.errors import DataError
from mbd.workflows import certify
from mbd.workflows.reproduce import database as reproduce_database
from mbd.workflows.reproduce.forget_set import ForgetSet
from mbd.workflows.session import Session
from tests.conftest import SERVICE
from tests.workflows import cheats
from tests.workflows.arrivals import archive
from tests.workflows.auditing import (
    Revoked,
    Verdict,
    copy_of,
    escrow_of,
    handed_over,
    honest_revocation,
    judge,
    revoke,
)
from tests.workspaces import TrainedWorkspace, must_run

BEFORE = "before"
"""A copy of the data of before, beside the workspace."""


@pytest.fixture(scope="module")
def original_revoked(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Revoked:
    """Somebody's voice was honestly revoked; made once."""
    folder = tmp_path_factory.mktemp("revoked")
    shutil.copytree(original / SERVICE, folder / BEFORE)
    return honest_revocation(original, folder)


@pytest.fixture
def revoked(original_revoked: Revoked, tmp_path: Path) -> Revoked:
    """A copy of it for each test."""
    return copy_of(original_revoked, tmp_path)


@pytest.fixture
def before(original_revoked: Revoked) -> Path:
    """The workspace of before the revocation."""
    return original_revoked.outside / BEFORE


def assert_open(found: Verdict, code: str, *words: str) -> None:
    assert (found.exit_code, found.result, found.code) == (3, "skipped", code), found
    for word in words:
        assert word in found.reason


def assert_refuted(found: Verdict, code: str, *words: str) -> None:
    assert (found.exit_code, found.result, found.code) == (1, "fail", code), found
    for word in words:
        assert word in found.reason


def old_files(before: Path, revoked: Revoked, where: str) -> list[Path]:
    """Files of before that are not in force any more."""
    kept = {path.name for path in (revoked.root / where).rglob("*.parquet")}
    return [path for path in (before / where).rglob("*.parquet") if path.name not in kept]


@pytest.mark.parametrize("where", ["data/store", "data/prepared"])
def test_erased_data_that_lies_beside_the_data_is_found(
    revoked: Revoked, before: Path, where: str
) -> None:
    """No manifest names it, so nothing that reads by the manifest would meet it."""
    (old,) = old_files(before, revoked, where)
    place = revoked.root / old.relative_to(before).with_name("old-bucket.parquet")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(old, place)
    assert_refuted(judge(revoked, revoked.root), "reproduce.forget_set", place.name)
    found = judge(revoked, revoked.root, escrow=escrow_of(revoked))
    assert_open(found, "reproduce.unlisted", place.name)


def test_sums_of_before_that_are_kept_elsewhere_are_named(revoked: Revoked, before: Path) -> None:
    (old,) = (before / "state").iterdir()
    shutil.copytree(old, revoked.root / "state" / "archive" / "2026")
    assert_open(judge(revoked, revoked.root), "reproduce.unlisted", "state/archive/2026/")


def test_erased_data_that_lies_beside_models_or_in_another_one_is_found(
    revoked: Revoked, before: Path
) -> None:
    (old,) = old_files(before, revoked, "data/store")
    beside = ("models/old.parquet", "models/older/policy.json", "state/old/x.safetensors")
    for where in (*beside, "state/old.parquet"):
        place = revoked.root / where
        place.parent.mkdir(exist_ok=True)
        shutil.copy(old, place)
        assert_refuted(judge(revoked, revoked.root), "reproduce.forget_set", where)
        place.unlink()


def test_erased_data_that_lies_in_the_log_is_found(revoked: Revoked, before: Path) -> None:
    """A request under way has its list of what to erase there: no reason to accuse anybody."""
    (old,) = old_files(before, revoked, "data/prepared")
    with contextlib.closing(sqlite3.connect(revoked.root / "ledger.db")) as ledger, ledger:
        ledger.execute("CREATE TABLE old (content BLOB)")
        ledger.execute("INSERT INTO old VALUES (?)", (old.read_bytes(),))
    assert_open(judge(revoked, revoked.root), "reproduce.unlisted", "ledger.db")


@pytest.mark.parametrize("where", ["models/6b657074/01", "data/prepared/6b657074", "state/a/b"])
def test_what_the_names_of_empty_folders_may_hold_is_named(revoked: Revoked, where: str) -> None:
    (revoked.root / where).mkdir(parents=True)
    assert_open(judge(revoked, revoked.root), "reproduce.unlisted", f"{where}/")


def test_the_file_of_a_duration_has_no_room(revoked: Revoked) -> None:
    with (revoked.root / "data" / "training.json").open("ab") as stream:
        stream.write(b" " * 60)
    assert_open(judge(revoked, revoked.root), "reproduce.unreadable", "data/training.json")


def test_a_file_too_large_to_search_does_not_hide_the_next(revoked: Revoked, before: Path) -> None:
    (revoked.root / "data" / "a.parquet").touch()
    os.truncate(revoked.root / "data" / "a.parquet", 300 << 20)
    found = judge(revoked, revoked.root)
    assert_open(found, "reproduce.unlisted", "data/a.parquet is too large to be searched")
    (old,) = old_files(before, revoked, "data/store")
    shutil.copy(old, revoked.root / "data" / "b.parquet")
    assert_refuted(judge(revoked, revoked.root), "reproduce.forget_set", "data/b.parquet")


def test_what_was_not_looked_at_is_named(revoked: Revoked) -> None:
    copy = handed_over(revoked)
    copy.chmod(0o755)
    (copy / "data.bak").mkdir()
    found = judge(revoked, copy)
    assert found.result == "pass"
    assert "nothing was looked for in certs, data.bak" in found.reason


@pytest.mark.parametrize(
    "where", ["data/old.bin", "models/old.bin", "state/notes.txt", "data/store/more/x.parquet"]
)
def test_a_file_that_nothing_names_is_named(revoked: Revoked, where: str) -> None:
    path = revoked.root / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"something else")
    assert_open(judge(revoked, revoked.root), "reproduce.unlisted", where)


def rewrite(folder: BucketFolder, change: Callable[[pa.Table], bytes]) -> None:
    """Replace the first bucket by what `change` makes of its table; the manifest fits."""
    content = folder.read(0)
    facts = folder.manifest.files[0]
    assert content is not None
    assert facts is not None
    changed = change(pq.read_table(pa.BufferReader(content)))
    folder.commit([(0, NewBucket(content=changed, facts=facts.facts))])


def as_parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    plain = {"compression": "NONE", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table, sink, **(plain | options))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def with_column(table: pa.Table) -> bytes:
    return as_parquet(table.append_column("kept", table.column("record_id")))


def with_notes(table: pa.Table) -> bytes:
    return as_parquet(table.replace_schema_metadata({"kept": "a" * 1000}))


@pytest.mark.parametrize("change", [with_column, with_notes])
def test_a_file_with_more_than_its_columns_is_named(
    revoked: Revoked, change: Callable[[pa.Table], bytes]
) -> None:
    rewrite(BucketFolder.open(revoked.workspace.session().store_folder), change)
    assert_open(judge(revoked, revoked.root), "reproduce.unlisted", "beside its columns")


def packed(table: pa.Table) -> bytes:
    return as_parquet(pa.concat_tables([table] * 50), compression="zstd")


def pointed(table: pa.Table) -> bytes:
    return as_parquet(pa.concat_tables([table] * 50), use_dictionary=True)


@pytest.mark.parametrize("change", [packed, pointed])
def test_a_file_that_expands_is_not_read(
    revoked: Revoked, change: Callable[[pa.Table], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte may become gigabytes: what is packed is refused by what it says of itself."""
    rewrite(BucketFolder.open(revoked.workspace.session().store_folder), change)
    monkeypatch.setattr("mbd.data.columns.parquet_to_table", lambda *_: pytest.fail("it is read"))
    assert_open(judge(revoked, revoked.root), "reproduce.unreadable", "is packed")


def test_memory_that_does_not_suffice_accuses_nobody(
    revoked: Revoked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr("mbd.data.store.records_from_parquet", full)
    assert_open(judge(revoked, revoked.root), "reproduce.unreadable")


def pipe(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def link(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/null")


def hollow(path: Path) -> None:
    """A file full of nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with path.open("wb") as stream:
        stream.truncate(20 << 30)


PLACES = (
    "state/x/audio.safetensors",
    "data/store/manifest.json",
    "data/training.json",
    "models/planted/policy.json",
    "models/planted/heads/audio.safetensors",
)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("make", "why"),
    [(pipe, "no regular file"), (link, "is a link"), (hollow, "more than such a file has")],
)
@pytest.mark.parametrize("where", PLACES)
def test_what_is_no_plain_file_is_not_opened(
    revoked: Revoked, make: Callable[[Path], None], why: str, where: str
) -> None:
    make(revoked.root / where)
    found = judge(revoked, revoked.root)
    assert_open(found, "reproduce.unreadable", where)
    assert why in found.reason or make is hollow  # a state is held against its shape


def test_a_bucket_that_is_a_pipe_is_not_waited_for(revoked: Revoked) -> None:
    (path,) = BucketFolder.open(revoked.workspace.session().store_folder).paths()[:1]
    pipe(path)
    assert_open(judge(revoked, revoked.root), "reproduce.unreadable", path.name)


def test_a_folder_that_is_a_link_is_not_followed(revoked: Revoked, tmp_path: Path) -> None:
    shutil.move(revoked.root / "state", tmp_path / "elsewhere")
    (revoked.root / "state").symlink_to(tmp_path / "elsewhere")
    assert_open(judge(revoked, revoked.root), "reproduce.unreadable", "state is a link")


@pytest.mark.parametrize("name", ["/dev/null", "../../ledger.db", "bucket.parquet"])
def test_a_manifest_that_names_other_files_is_refused(revoked: Revoked, name: str) -> None:
    path = revoked.root / "data" / "store" / "manifest.json"
    found = json.loads(path.read_bytes())
    next(one for one in found["body"]["files"] if one)["name"] = name
    found["sha256"] = sha256(dumps(found["body"])).hexdigest()
    path.write_bytes(dumps(found))
    assert_open(judge(revoked, revoked.root), "reproduce.unreadable", "no bucket")


ENDLESS = (
    "CREATE VIEW checkpoint AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) "
    "SELECT n AS size, 'x' AS note FROM r"
)


@pytest.mark.timeout(120)
def test_a_ledger_with_a_view_is_not_asked(revoked: Revoked) -> None:
    with sqlite3.connect(revoked.root / "ledger.db") as connection:
        connection.execute("PRAGMA legacy_alter_table = ON")
        connection.execute("ALTER TABLE checkpoint RENAME TO other")
        connection.execute(ENDLESS)
    connection.close()
    (head,) = revoked.root.glob("models/*/heads/audio.*")
    head.unlink()
    assert_open(judge(revoked, revoked.root), "reproduce.no_ledger", "view 'checkpoint'")


COMPUTED = (
    "CREATE TABLE entry(entry_index INTEGER, certificate_id TEXT, "
    "leaf BLOB GENERATED ALWAYS AS (zeroblob(60000000)) VIRTUAL)"
)


@pytest.mark.timeout(120)
def test_a_ledger_that_computes_its_leaves_is_not_asked() -> None:
    """Each step of the machine would make sixty megabytes."""
    connection = sqlite3.connect(":memory:")
    connection.execute(COMPUTED)
    with pytest.raises(DataError, match="computes a column"):
        reproduce_database.guarded(connection)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("value", ["entry SET leaf", "checkpoint SET note"])
def test_a_ledger_with_endless_values_is_not_read(revoked: Revoked, value: str) -> None:
    with contextlib.closing(sqlite3.connect(revoked.root / "ledger.db")) as connection:
        connection.execute(f"UPDATE {value} = zeroblob(60000000)")
        connection.commit()
    found = judge(revoked, revoked.root)
    assert found.result == "pass"
    assert "not checked: whether the log announced the policy" in found.reason


@pytest.mark.timeout(120)
def test_an_answer_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce_database, "_MAX_LOOKS", 8)
    connection = reproduce_database.guarded(sqlite3.connect(":memory:"))
    endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r"
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        connection.execute(endless).fetchone()


def receipt_of(values: list[str]) -> Receipt:
    """A receipt that lists these values of one person, as far as `ForgetSet` reads it."""
    items = [
        ItemProof.model_construct(record=f"r{n}", modality="audio", features=value, salt=f"s{n}")
        for n, value in enumerate(values)
    ]
    return Receipt.model_construct(subject="u", modalities=("audio",), items=tuple(items))


def item(features: str, *, modality: str = "audio") -> Item:
    return Item(
        record="x", subject="v", cohort="revocable", split="train", label="0", steps=1,
        modality=modality, features=features, salt="t",
    )  # fmt: skip


VARIED = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    ("erased", "held", "equal"),
    [
        (["a", "b", "c"], ["a"], 1),  # one is enough
        (["a"], ["a"], 1),
        (["a", "b"], ["a", "a", "b", "b"], 2),  # kept twice
        (["a", "a"], ["a"], 1),
        (["a", "b", "c"], ["d"], 0),
    ],
)
def test_every_erased_value_that_is_stored_elsewhere_counts(
    erased: list[str], held: list[str], equal: int
) -> None:
    forget = ForgetSet(receipt_of(erased))
    for value in held:
        forget.meet(item(value), VARIED)
    assert len(forget.equal) == equal
    assert not forget.kept
    assert not forget.there


def test_a_value_under_another_channel_counts_and_silence_does_not() -> None:
    forget = ForgetSet(receipt_of(["a", "b"]))
    forget.meet(item("a", modality="vision"), VARIED)
    forget.meet(item("b"), np.zeros((9, 9), np.float32))
    assert list(forget.equal) == ["a"]


def test_an_equal_value_of_somebody_else_is_no_success(trained_workspace: TrainedWorkspace) -> None:
    """Two people may say the same sentence; nobody can tell that from a copy."""
    root, (one, two, *_) = trained_workspace.root, trained_workspace.revocable
    for user, name in ((one, "a1"), (two, "b1")):
        must_run(root, "data", "add", *archive(trained_workspace, [name], user, seed=3))
    revoked = revoke(trained_workspace, one)
    assert_open(judge(revoked, handed_over(revoked)), "reproduce.copies", "1 of the erased values")


def test_it_says_that_changed_copies_and_what_the_receipt_leaves_out_are_not_seen(
    revoked: Revoked,
) -> None:
    found = judge(revoked, handed_over(revoked))
    assert found.result == "pass", found
    assert "changed, be it by one bit and at whatever time, is not seen" in found.reason
    assert "is the issuer's word" in found.reason
    assert "are the data set of before" in found.reason


def invented(patch: pytest.MonkeyPatch, session: Session) -> None:
    """Nothing is done; the papers are about somebody who does not exist."""
    cheats.did_nothing(patch, session)
    honest = certify.sign_certificate

    def sign(session: Any, request: Any, outcome: Any, erased: Any, issuing: Any) -> Any:
        items = [
            replace(one, subject="nobody", record=f"q{n}", features=f"{n:064x}", salt=f"{n:064x}")
            for n, one in enumerate(erased.items)
        ]
        return honest(
            session,
            replace(request, detail={**request.detail, "subject": "nobody"}),
            replace(outcome, deleted_set=root_of_items(items).hex()),
            replace(erased, items=items, vanished=[]),
            replace(issuing, secrets={**issuing.secrets, "nobody": bytes(32)}),
        )

    patch.setattr(papers_module, "sign_certificate", sign)


def doubled(patch: pytest.MonkeyPatch, session: Session) -> None:
    """Everything is kept under a neighbour's name, with new ids and salts, and kept twice."""
    cheats.records_laundered(patch, session)
    once = vars(steps_module)["erase_bucket"]  # as the cheat before left it

    def erase(store: Any, prepared: Any, planned: Any) -> None:
        once(store, prepared, planned)
        held = store.read_bucket(planned.bucket)
        new = held.select(i for i, name in enumerate(held.record_ids) if name.startswith("x0"))
        none = dict.fromkeys(new.x, (None,) * len(new))
        names = tuple(f"y{name}" for name in new.record_ids)
        again = replace(new, record_ids=names, salts=none, splits=("valid",) * len(new))
        store.replace_bucket(planned.bucket, Records.concat([held, again]))

    patch.setattr(steps_module, "erase_bucket", erase)


def nudged(patch: pytest.MonkeyPatch, session: Session) -> None:
    """Kept under another name, each number moved by the least that there is."""

    def disguise(records: Records) -> Records:
        records = cheats._new_ids_and_salts(records)
        return replace(records, x={name: tuple(map(_next, x)) for name, x in records.x.items()})

    cheats._renamed(patch, disguise)


def _next(value: Any) -> Any:
    return None if value is None else np.nextafter(value, np.float32(np.inf))


@pytest.mark.parametrize("cheat", [invented, doubled, nudged])
def test_a_receipt_that_is_not_what_the_data_lacks_is_refuted(
    trained_workspace: TrainedWorkspace, cheat: cheats.Cheat
) -> None:
    """What is retained and what the receipt lists are together the data set of before."""
    with pytest.MonkeyPatch.context() as patch:
        cheat(patch, trained_workspace.session())
        revoked = revoke(trained_workspace, trained_workspace.revocable[0])
    assert_refuted(judge(revoked, handed_over(revoked)), "reproduce.before")


@pytest.mark.parametrize("size", range(1, 10))
def test_a_proof_leads_to_the_root(size: int) -> None:
    leaves = [sha256(bytes([n])).digest() for n in range(size)]
    for place, proof in enumerate(tree_proofs(leaves)):
        assert root_from_proof(leaves[place], place, size, proof) == tree_root(leaves)
        assert root_from_proof(bytes(32), place, size, proof) != tree_root(leaves)
