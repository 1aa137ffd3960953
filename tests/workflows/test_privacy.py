"""Promises to those who revoked: no file tells who they are, nothing links their certificates."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mbd.certificate.receipt import Receipt, excerpt, parse_receipt
from mbd.database import pointers
from mbd.database.suppressions import keyed_hash
from mbd.errors import ConflictError, DataError, NotFoundError
from mbd.ledger.bodies import is_sealed
from mbd.ledger.queries import body_of
from mbd.workflows.forget import forget_subject, subject_of
from mbd.workflows.session import Session
from mbd.workflows.subject import certificates_of
from tests.workflows.arrivals import archive, new_records
from tests.workflows.children import KILLED, child_mbd, die_after, die_before
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

DATABASES = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "secrets.db", "secrets.db-wal")


def revoke(workspace: TrainedWorkspace, user: str, modality: str, *more: str) -> Any:
    asked = ["revoke", "--user", user, "--modality", modality, *more, "--json"]
    return must_run(workspace.root, *asked).json


def receipt_of(done: Any) -> Receipt:
    return parse_receipt(Path(done["receipt"]).read_bytes())


def files_of(root: Path) -> Iterator[tuple[str, bytes]]:
    for name in DATABASES:
        if (root / name).is_file():
            yield name, (root / name).read_bytes()


def forms(content: bytes) -> Iterator[bytes]:
    """A value as it may lie in a file: itself, in hexadecimal, in base64 at any alignment."""
    yield content
    yield content.hex().encode()
    yield content.hex().upper().encode()
    for shift in range(3):
        text = b64encode(bytes(shift) + content)
        yield text[4 if shift else 0 : -4]


def traces_of(text: str) -> Iterator[bytes]:
    """A name and its plain hashes, in every form."""
    for name in (text, text.lower(), text.upper()):
        yield from forms(name.encode())
        yield name.encode("utf-16-le")
        for algorithm in ("md5", "sha1", "sha256", "sha512", "blake2b", "sha3_256"):
            yield from forms(hashlib.new(algorithm, name.encode()).digest())
        yield from forms(bytes.fromhex(keyed_hash(b"", name)))
        yield from forms(bytes.fromhex(keyed_hash(bytes(32), name)))


def assert_in_no_file(root: Path, wanted: Iterator[bytes]) -> None:
    held = dict(files_of(root))
    assert {"ledger.db", "secrets.db"} <= held.keys()
    for piece in wanted:
        assert len(piece) >= 8, piece
        for name, content in held.items():
            assert piece not in content, (name, piece)


def somebody(workspace: TrainedWorkspace) -> str:
    """A revocable person with a name that lies nowhere by chance."""
    cohorts = workspace.session().store().schema.cohorts
    names = (f"Person-of-interest-{number:06d}" for number in itertools.count())
    return next(name for name in names if cohorts.cohort_of(name) == "revocable")


@pytest.fixture
def user(trained_workspace: TrainedWorkspace) -> str:
    """Somebody of that kind with three records."""
    name = somebody(trained_workspace)
    names = [f"Planted-record-{number}" for number in range(3)]
    must_run(trained_workspace.root, "data", "add", *archive(trained_workspace, names, name))
    return name


@pytest.mark.parametrize("modality", ["audio", "all"])
def test_after_a_revocation_no_database_knows_the_person_in_any_form(
    trained_workspace: TrainedWorkspace, user: str, modality: str
) -> None:
    revoke(trained_workspace, user, modality)
    names = [f"Planted-record-{number}" for number in range(3)]

    assert_in_no_file(
        trained_workspace.root, itertools.chain.from_iterable(map(traces_of, [user, *names]))
    )
    planted = new_records(trained_workspace.session(), names, user)
    for column in planted.x.values():
        for value in column:
            assert value is not None
            pieces = (value.reshape(-1)[at : at + 4] for at in range(0, value.size - 4, 4))
            for piece in pieces:
                assert_in_no_file(trained_workspace.root, forms(piece.tobytes()))
                text = ",".join(repr(float(number)) for number in piece[:1])
                assert_in_no_file(trained_workspace.root, iter([text.encode()]))


def test_the_search_would_find_what_is_there(trained_workspace: TrainedWorkspace) -> None:
    """The one above proves nothing if it looks in the wrong way."""
    root = trained_workspace.root
    for planted in (b"Somebody-Known", hashlib.sha256(b"Somebody-Known").hexdigest().encode()):
        with closing(sqlite3.connect(root / "ledger.db")) as connection, connection:
            connection.execute("REPLACE INTO pointer VALUES ('restore', ?)", (planted.decode(),))
        with pytest.raises(AssertionError):
            assert_in_no_file(root, traces_of("Somebody-Known"))


def rows_of(root: Path, table: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(root / "ledger.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]


def test_the_journal_does_not_tell_that_two_requests_are_of_one_channel(
    trained_workspace: TrainedWorkspace,
) -> None:
    """The same person revokes the same channel twice: nothing of both rows is equal but what
    the rows of others have too."""
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    revoke(trained_workspace, user, "audio")
    must_run(root, "consent", "grant", "--user", user, "--modality", "audio")
    must_run(root, "data", "add", *archive(trained_workspace, ["n1"], user))
    revoke(trained_workspace, user, "audio")

    one, other = rows_of(root, "request")
    for name in ("request_id", "batch_id", "fingerprint", "certificate_id", "entry_index"):
        assert one[name] != other[name], name
    assert [row["origin"] for row in (one, other)] == [None, None]
    assert [row["detail"] for row in (one, other)] == [None, None]
    hashes = [row["key_hash"] for row in rows_of(root, "suppression")]
    assert len(set(hashes)) == len(hashes) == 2
    assert [row["detail"] for row in rows_of(root, "batch")] == [None, None]


@pytest.fixture
def revoked(trained_workspace: TrainedWorkspace) -> tuple[str, list[Any]]:
    """Somebody who revoked two channels, one after the other, and somebody else in between."""
    user, other = trained_workspace.revocable[:2]
    first = revoke(trained_workspace, user, "audio")
    revoke(trained_workspace, other, "audio")
    return user, [first, revoke(trained_workspace, user, "text")]


def ids(done: list[Any]) -> frozenset[str]:
    return frozenset(one["certificateId"] for one in done)


def test_a_receipt_finds_all_certificates_of_its_subject_where_the_secret_is(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    session, (_, done) = trained_workspace.session(), revoked
    for one in done:
        found = certificates_of(session, receipt_of(one))
        assert (found.ids, found.secret, found.unreadable) == (ids(done), True, 0)


def test_a_receipt_finds_its_own_certificate_only_where_anything_is_missing(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    root, (_, done) = trained_workspace.root, revoked
    receipt = receipt_of(done[0])
    part = excerpt(receipt, receipt.items[0].record, "audio")
    made_up = receipt.model_copy(update={"subject_key": "0" * 64})
    another = receipt.model_copy(update={"subject": trained_workspace.revocable[1]})
    for one in (part, made_up, another):
        found = certificates_of(trained_workspace.session(), one)
        assert (found.ids, found.secret) == ({receipt.certificate_id}, False)
    for path in (root / "keys" / "workspace.key", root / "secrets.db"):
        hidden = path.rename(path.with_suffix(".hidden"))
        found = certificates_of(trained_workspace.session(), receipt)
        assert (found.ids, found.secret) == ({receipt.certificate_id}, False)
        hidden.rename(path)


def test_the_list_of_a_receipt_shows_its_subject_and_nobody_else(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    root, (_, done) = trained_workspace.root, revoked
    listed = must_run(root, "ledger", "list", "--receipt", done[0]["receipt"], "--json").json
    assert {entry["certificateId"] for entry in listed["entries"]} == ids(done)
    (root / "secrets.db").rename(root / "secrets.hidden")
    listed = must_run(root, "ledger", "list", "--receipt", done[0]["receipt"], "--json").json
    assert [entry["certificateId"] for entry in listed["entries"]] == [done[0]["certificateId"]]


def test_without_a_receipt_nothing_that_is_listed_names_or_links(
    trained_workspace: TrainedWorkspace, user: str
) -> None:
    revoke(trained_workspace, user, "audio")
    listed = must_run(trained_workspace.root, "ledger", "list", "--json")
    assert user not in listed.out
    allowed = {"index", "type", "time", "certificateId", "modalities", "class", "leafHash"}
    for entry in listed.json["entries"]:
        assert entry.keys() <= allowed


@pytest.fixture
def watched(trained_workspace: TrainedWorkspace) -> Iterator[None]:
    """Somebody keeps both databases open, so that SQLite does not remove their logs by itself."""
    with contextlib.ExitStack() as stack:
        for name in ("ledger.db", "secrets.db"):
            opened = sqlite3.connect(trained_workspace.root / name)
            stack.enter_context(closing(opened))
            opened.execute("SELECT count(*) FROM sqlite_master").fetchall()
        yield


# Erasing a body.


def stored_body(session: Session, index: int) -> bytes | None:
    with session.database.read() as connection:
        return body_of(connection, index)


def entry_of(workspace: TrainedWorkspace, certificate_id: str) -> Any:
    return must_run(workspace.root, "ledger", "show", certificate_id, "--json").json


def erase(workspace: TrainedWorkspace, reference: str, *more: str) -> Any:
    asked = ["ledger", "erase-body", reference, "--yes", *more, "--json"]
    return must_run(workspace.root, *asked).json


def assert_sound(workspace: TrainedWorkspace, *, bodies_less: int = 0) -> None:
    root = workspace.root
    report = must_run(root, "ledger", "check", "--json").json
    assert report["ok"]
    assert report["unreadable"] == 0
    assert report["bodies"] == report["size"] - bodies_less
    assert must_run(root, "state", "check", "--json").json["findings"] == []
    for bundle in (root / "certs").iterdir():
        assert must_run(root, "verify", str(bundle), "--json").json["verdict"] == "valid"


def test_bodies_of_certificates_are_sealed_and_shown_to_who_has_the_key(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    _, done = revoked
    session = trained_workspace.session()
    for one in done:
        shown = entry_of(trained_workspace, one["certificateId"])
        assert shown["body"]["predicate"]["certificateId"] == one["certificateId"]
        stored = stored_body(session, shown["index"])
        assert stored is not None
        assert is_sealed(stored)
    content = (trained_workspace.root / "ledger.db").read_bytes()
    assert b"subjectCommitment" not in content
    assert b64encode(b"subjectCommitment")[2:-4] not in content


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("newest", [False, True])
def test_an_erased_body_is_gone_and_every_proof_holds(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]], newest: bool
) -> None:
    root, done = trained_workspace.root, revoked[1][-1 if newest else 0]
    session, shown = trained_workspace.session(), entry_of(trained_workspace, done["certificateId"])
    stored = stored_body(session, shown["index"])
    key = session.secrets.body_keys(shown["index"], shown["index"])[shown["index"]]
    assert stored is not None
    assert any(stored[:500] in content for _, content in files_of(root))
    assert any(key in content for _, content in files_of(root))

    told = erase(trained_workspace, done["certificateId"])

    assert told["erased"]
    assert told["bundle"] == done["bundle"]
    assert entry_of(trained_workspace, str(shown["index"]))["body"] is None
    for name, content in files_of(root):
        assert key not in content, name
        assert stored[18:60] not in content, name
    assert_sound(trained_workspace, bodies_less=1)
    announced = must_run(root, "ledger", "show", str(told["loggedAs"]), "--json").json
    assert announced["type"] == "erasure"
    assert announced["body"]["entry"] == shown["index"]
    findings = must_run(root, "doctor", "--json").json["findings"]
    assert not [one for one in findings if one["code"].startswith(("ledger", "certificate"))]
    again = erase(trained_workspace, str(shown["index"]))
    assert (again["erased"], again["loggedAs"]) == (False, None)


def test_the_bundle_is_a_copy_of_its_own_and_goes_when_asked(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    root, done = trained_workspace.root, revoked[1][0]
    assert Path(done["bundle"]).is_file()
    erase(trained_workspace, done["certificateId"])
    assert Path(done["bundle"]).is_file()
    told = erase(trained_workspace, done["certificateId"], "--with-bundle")
    assert told["bundleRemoved"]
    assert told["bundle"] is None
    assert not Path(done["bundle"]).exists()
    findings = must_run(root, "doctor", "--json").json["findings"]
    assert not [one for one in findings if one["code"] == "certificate.missing"]


def test_what_is_needed_is_not_erased(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    root = trained_workspace.root
    entries = must_run(root, "ledger", "list", "--json").json["entries"]
    policy = next(one["index"] for one in entries if one["type"] == "policy")
    refused = run_mbd(root, "ledger", "erase-body", str(policy), "--yes", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (5, "ledger.body_in_force")
    for kind in ("key-add", "attempt"):
        index = next((one["index"] for one in entries if one["type"] == kind), None)
        if index is not None:
            refused = run_mbd(root, "ledger", "erase-body", str(index), "--yes", "--json")
            assert (refused.code, refused.json["error"]["code"]) == (5, "ledger.body_kept")
    assert run_mbd(root, "ledger", "erase-body", "99999", "--yes").code == 4
    assert run_mbd(root, "ledger", "erase-body", str(policy), "--json").code == 5
    unasked = run_mbd(root, "ledger", "erase-body", revoked[1][0]["certificateId"], "--json")
    assert (unasked.code, unasked.json["error"]["field"]) == (2, "--yes")
    assert_sound(trained_workspace)


DESTRUCTION = "mbd.database.secrets.Secrets"
INSTANTS = [
    pytest.param(partial(die_before, DESTRUCTION, "forget_body_keys"), id="decided"),
    pytest.param(partial(die_after, DESTRUCTION, "forget_body_keys"), id="key gone"),
    pytest.param(partial(die_after, DESTRUCTION, "truncating_checkpoint"), id="log emptied"),
]


@pytest.mark.parametrize("prelude", INSTANTS)
def test_a_killed_erasure_is_finished_by_the_next_command(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]], prelude: Any
) -> None:
    root, done = trained_workspace.root, revoked[1][0]
    index = entry_of(trained_workspace, done["certificateId"])["index"]
    key = trained_workspace.session().secrets.body_keys(index, index)[index]

    killed = child_mbd(root, "ledger", "erase-body", str(index), "--yes", prelude=prelude)

    assert killed.code == KILLED, killed.err
    codes = [one["code"] for one in run_mbd(root, "doctor", "--json").json["findings"]]
    assert "destroy.interrupted" in codes
    must_run(root, "resume")
    session = trained_workspace.session()
    assert session.secrets.body_keys(index, index) == {}
    with session.database.read() as connection:
        assert pointers.get(connection, "destroy") is None
    for name, content in files_of(root):
        assert key not in content, name
    assert_sound(trained_workspace, bodies_less=1)


def test_an_erased_body_does_not_come_back_with_a_backup(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    """A whole backup holds the key too. Restored with the newest ledger, it is destroyed again."""
    root, done = trained_workspace.root, revoked[1][0]
    index = entry_of(trained_workspace, done["certificateId"])["index"]
    must_run(root, "backup", str(root.parent / "saved"), "--with-keys")
    erase(trained_workspace, str(index))
    again = root.parent / "again"
    newest = ["--ledger", str(root / "ledger.db"), "--into", str(again)]
    must_run(root, "restore", str(root.parent / "saved"), *newest)

    restored = TrainedWorkspace(again, (), ()).session()

    assert restored.secrets.body_keys(index, index) == {}
    assert stored_body(restored, index) is None
    assert must_run(again, "ledger", "check", "--json").json["unreadable"] == 0


# Forgetting a subject.


def forget(workspace: TrainedWorkspace, *who: str) -> Any:
    return must_run(workspace.root, "secrets", "forget", *who, "--yes", "--json").json


def links_with_all_keys(session: Session, user: str) -> set[str]:
    """Certificates that whoever has the whole workspace can tell to be of a person."""
    found = set()
    key, names = session.key, session.store().schema.names
    tried = [("suppression", user, name, *turn) for name in names for turn in ([], ["1"], ["2"])]
    hashes = {keyed_hash(key, *parts) for parts in tried}
    root = session.workspace.root
    requests = {row["request_id"]: row for row in rows_of(root, "request")}
    for row in rows_of(root, "suppression"):
        if row["key_hash"] in hashes:
            found.add(requests[row["request_id"]]["certificate_id"])
    terms = [("auto", "None", "None")]
    for row in requests.values():
        for name, (method, *numbers) in itertools.product(names, terms):
            parts = (row["request_id"], user, name, method, *numbers)
            if row["fingerprint"] == keyed_hash(key, "request", *parts):
                found.add(row["certificate_id"])
    return found - {None}


@pytest.mark.usefixtures("watched")
def test_once_forgotten_only_the_receipts_tell(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    root, (user, done) = trained_workspace.root, revoked
    session = trained_workspace.session()
    name = keyed_hash(session.key, "subject secret", user)
    secret = session.secrets.find_subject_secret(name)
    fingerprints = {row["fingerprint"] for row in rows_of(root, "request")}
    assert secret is not None
    assert any(secret in content for _, content in files_of(root))
    assert links_with_all_keys(session, user) == ids(done)

    told = forget(trained_workspace, "--user", user)

    assert (told["certificates"], told["forgotten"]) == (2, True)
    assert sorted(told["receipts"]) == sorted(one["receipt"] for one in done)
    for file, content in files_of(root):
        for piece in itertools.chain(forms(secret), forms(bytes.fromhex(name))):
            assert piece not in content, file
    left = {row["fingerprint"] for row in rows_of(root, "request")} - {""}
    assert len(left) == len(fingerprints)
    assert len(left & fingerprints) == len(fingerprints) - 2
    assert links_with_all_keys(trained_workspace.session(), user) == set()
    for one in done:
        found = certificates_of(trained_workspace.session(), receipt_of(one))
        assert (found.ids, found.secret) == ({one["certificateId"]}, False)
        opened = ["--receipt", one["receipt"]]
        assert must_run(root, "verify", one["bundle"], *opened, "--json").json["exitCode"] == 0
        assert must_run(root, "state", "check", *opened, "--json").json["findings"] == []
    assert_sound(trained_workspace)
    logged = must_run(root, "ledger", "show", str(told["loggedAs"]), "--json").json
    assert logged["body"].keys() == {"schema", "id", "reason"}


def test_requests_of_who_was_forgotten_look_like_those_of_anybody(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    """Told from all others, they would be linked to each other by a copy of the ledger alone."""
    root, (user, done) = trained_workspace.root, revoked
    before = {row["certificate_id"]: row for row in rows_of(root, "request")}
    stood = {row["request_id"]: row for row in rows_of(root, "suppression")}
    forget(trained_workspace, "--user", user)
    after = {row["certificate_id"]: row for row in rows_of(root, "request")}
    off = {row["request_id"]: row for row in rows_of(root, "suppression")}
    for certificate_id, row in before.items():
        now, name = after[certificate_id], row["request_id"]
        assert re.fullmatch("[0-9a-f]{64}", now["fingerprint"])
        assert re.fullmatch("[0-9a-f]{64}", off[name]["key_hash"])
        assert {**now, "fingerprint": ""} == {**row, "fingerprint": ""}
        assert {**off[name], "key_hash": ""} == {**stood[name], "key_hash": ""}
        mine = certificate_id in ids(done)
        assert (now["fingerprint"] != row["fingerprint"]) == mine
        assert (off[name]["key_hash"] != stood[name]["key_hash"]) == mine


def test_forgetting_keeps_the_channels_off_and_requests_refused(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    root, (user, done) = trained_workspace.root, revoked
    forget(trained_workspace, "--user", user)
    off = trained_workspace.session().suppressions
    assert off.blocks(user, "audio")
    assert off.blocks(user, "text")
    again = run_mbd(root, "revoke", "--user", user, "--modality", "audio", "--json")
    assert (again.code, again.json["error"]["code"]) == (6, "revoked.already")
    assert all(one["certificateId"] not in again.out for one in done)
    must_run(root, "consent", "grant", "--user", user, "--modality", "audio")
    must_run(root, "data", "add", *archive(trained_workspace, ["n1"], user))
    third = revoke(trained_workspace, user, "audio")
    found = certificates_of(trained_workspace.session(), receipt_of(third))
    assert (found.ids, found.secret) == ({third["certificateId"]}, True)
    assert_sound(trained_workspace)


def test_a_request_id_that_was_forgotten_is_not_carried_out_again(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    revoke(trained_workspace, user, "audio", "--request-id", "ticket-1")
    asked = ["revoke", "--user", user, "--modality", "audio", "--request-id", "ticket-1", "--json"]
    assert must_run(root, *asked).json["repeated"]
    forget(trained_workspace, "--user", user)
    again = run_mbd(root, *asked)
    assert (again.code, again.json["error"]["code"]) == (6, "request.differs")


def test_forgetting_by_receipt_again_and_of_nobody(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    root, (user, done) = trained_workspace.root, revoked
    made_up = receipt_of(done[0]).model_copy(update={"subject_key": "0" * 64})
    with pytest.raises(DataError):
        subject_of(trained_workspace.session(), made_up)
    assert forget(trained_workspace, "--receipt", done[1]["receipt"])["certificates"] == 2
    told = forget(trained_workspace, "--user", user)
    assert (told["certificates"], told["forgotten"], told["loggedAs"]) == (0, False, None)
    with pytest.raises(NotFoundError):
        forget_subject(trained_workspace.session(), "nobody")
    assert run_mbd(root, "secrets", "forget", "--yes").code == 2
    assert run_mbd(root, "secrets", "forget", "--user", user, "--json").code == 2


def test_a_person_with_an_open_request_is_not_forgotten(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]]
) -> None:
    root, (user, _) = trained_workspace.root, revoked
    waiting = ["revoke", "--user", user, "--modality", "vision", "--method", "retrain", "--queue"]
    must_run(root, *waiting)
    name = keyed_hash(trained_workspace.session().key, "subject secret", user)
    with pytest.raises(ConflictError):
        forget_subject(trained_workspace.session(), user)
    refused = run_mbd(root, "secrets", "forget", "--user", user, "--yes", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (6, "request.open")
    assert trained_workspace.session().secrets.find_subject_secret(name) is not None


@pytest.mark.parametrize(
    "prelude",
    [
        pytest.param(partial(die_before, DESTRUCTION, "forget_subjects"), id="decided"),
        pytest.param(partial(die_after, DESTRUCTION, "forget_subjects"), id="secret gone"),
    ],
)
def test_a_killed_forgetting_is_finished_by_the_next_command(
    trained_workspace: TrainedWorkspace, revoked: tuple[str, list[Any]], prelude: Any
) -> None:
    root, (user, _) = trained_workspace.root, revoked
    name = keyed_hash(trained_workspace.session().key, "subject secret", user)
    secret = trained_workspace.session().secrets.find_subject_secret(name)
    assert secret is not None
    killed = child_mbd(root, "secrets", "forget", "--user", user, "--yes", prelude=prelude)
    assert killed.code == KILLED, killed.err
    must_run(root, "resume")
    for file, content in files_of(root):
        assert secret not in content, file
        assert name.encode() not in content, file
    assert links_with_all_keys(trained_workspace.session(), user) == set()
    assert_sound(trained_workspace)
