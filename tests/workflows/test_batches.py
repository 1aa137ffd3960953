"""Many requests at once: one state and one release, a certificate each, nobody harms another."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbd.errors import MbdError
from mbd.workflows.opening import open_session
from mbd.workflows.resolve import RevocationRequest, Terms
from mbd.workflows.revoke import revoke_many
from mbd.workflows.state_check import check_state
from mbd.workspace.layout import open_workspace
from tests.conftest import SERVICE, STATE
from tests.workflows.arrivals import from_scratch
from tests.workflows.conftest import Spread, spread_at
from tests.workflows.disk import (
    MODALITY,
    assert_finished,
    assert_nothing_unnoised,
    predicate_of,
    secrets_of,
    stages_of,
)
from tests.workspaces import Ran, TrainedWorkspace, must_run, run_mbd

AUDIO_HEADS = ["audio", "audio+text", "audio+text+vision", "audio+vision"]


def write(path: Path, *rows: tuple[str, ...]) -> str:
    """A CSV file with these requests."""
    header = ("user", "modality", "requestId")[: len(rows[0])]
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return str(path)


def revoke_rows(root: Path, *rows: tuple[str, ...]) -> Ran:
    """`mbd revoke --batch` with these requests."""
    return run_mbd(root, "revoke", "--batch", write(root.parent / "batch.csv", *rows), "--json")


def certificate(root: Path, row: dict[str, Any]) -> Any:
    """What the certificate of a row states; it verifies with its receipt."""
    bundle = root / "certs" / f"{row['certificateId']}.json"
    receipt = root / "receipts" / f"{row['certificateId']}.json"
    words = (str(bundle), "--receipt", str(receipt), "--no-memory", "--json")
    ran = must_run(root, "verify", *words).json
    assert ran["verdict"] == "valid"
    assert ran["levelReached"] == "LOGGED+SUBJECT"
    return predicate_of(bundle)


def types_logged(root: Path) -> Counter[str]:
    """How many entries of each type the ledger has."""
    entries = must_run(root, "ledger", "list", "--json").json["entries"]
    return Counter(entry["type"] for entry in entries)


def contents(root: Path) -> dict[Path, bytes]:
    """Every file but the databases."""
    return {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and ".db" not in p.name}


def test_requests_of_a_batch_share_one_release_and_have_a_certificate_each(
    spread: Spread,
) -> None:
    root, users = spread.workspace.root, spread.users[:3]
    secrets = secrets_of(spread.workspace, *users)
    model = spread.workspace.session().model().snapshot.model_id

    ran = revoke_rows(root, *((user, MODALITY, f"r-{user}") for user in users))

    assert ran.code == 0
    rows = ran.json["rows"]
    assert [(row["user"], row["requestId"]) for row in rows] == [(u, f"r-{u}") for u in users]
    assert [(row["modality"], row["exitCode"], row["error"]) for row in rows] == [
        (MODALITY, 0, None)
    ] * 3
    stated = assert_finished(spread.workspace, users)
    assert sorted(row["certificateId"] for row in rows) == [s["certificateId"] for s in stated]
    assert all(one["guarantee"]["selectedHeads"] == AUDIO_HEADS for one in stated)
    assert all(float(one["guarantee"]["epsilon"]) <= 1 for one in stated)
    assert_nothing_unnoised(spread.workspace, secrets)
    session = spread.workspace.session()
    assert session.state().digest == from_scratch(session)
    new = session.model().snapshot
    assert new.model_id != model
    for row in rows:
        bundle = root / "certs" / f"{row['certificateId']}.json"
        words = (str(bundle), "--model", str(new.folder), "--no-memory", "--json")
        proved = must_run(root, "verify", *words)
        assert proved.json["levelReached"] == "LOGGED+ARTIFACTS"

    again = revoke_rows(root, *((user, MODALITY, f"r-{user}") for user in users))
    assert (again.code, again.json["rows"]) == (0, rows)
    assert types_logged(root)["attempt"] == 1
    assert revoke_rows(root, *((user, MODALITY) for user in users)).code == 6
    other = revoke_rows(root, (users[0], "text", f"r-{users[0]}"))
    assert (other.code, other.json["rows"][0]["error"]["code"]) == (6, "request.differs")


def test_every_kind_of_request_in_one_batch_gets_what_it_asked_for_and_no_more(
    spread: Spread,
) -> None:
    """Audio alone; text and everything of one person each, twice in the batch; no training row."""
    root, (one, two, three, *_), silent = spread.workspace.root, spread.users, spread.silent
    before = spread.workspace.session().store()
    gone = before.read(subjects=[three]).record_ids
    assert gone

    ran = revoke_rows(
        root,
        (one, "audio"),
        (two, "text"),
        (three, "all"),
        (silent, "audio"),
        (two, "vision"),
    )

    assert ran.code == 0
    audio, text, everything, nothing, vision = (certificate(root, r) for r in ran.json["rows"])
    for stated, modality in ((audio, "audio"), (text, "text"), (vision, "vision")):
        guarantee = stated["guarantee"]
        assert stated["deletion"]["modalities"] == [modality]
        assert all(modality in head for head in guarantee["selectedHeads"])
        assert [head["head"] for head in guarantee["parameters"]] == guarantee["selectedHeads"]
        assert (guarantee["class"], guarantee["attempts"]) == ("certified", 1)
        assert 0 < float(guarantee["epsilon"]) <= 1
    assert everything["deletion"]["modalities"] == ["audio", "text", "vision"]
    assert len(everything["guarantee"]["selectedHeads"]) == 7
    assert float(audio["guarantee"]["epsilon"]) <= float(everything["guarantee"]["epsilon"]) <= 1
    guarantee = nothing["guarantee"]
    assert (guarantee["class"], guarantee["epsilon"], guarantee["attempts"]) == ("exact", "0", 0)
    assert guarantee["selectedHeads"] == []
    assert types_logged(root) == types_logged(root) | {"attempt": 1, "certificate": 5}
    session = spread.workspace.session()
    store = session.store()
    assert len(store.read(subjects=[three]).record_ids) == 0
    assert not set(gone) & set(store.read().record_ids)
    held = store.read(subjects=[one, two, silent]).x
    assert [sum(value is not None for value in held[name]) > 0 for name in sorted(held)] == [
        True,  # of the second person
        True,  # of the first one and of the silent one
        True,
    ]
    assert must_run(root, "state", "check", "--json").json["equal"]
    assert session.state().digest == from_scratch(session)
    assert must_run(root, "ledger", "check", "--json").json["ok"]


def test_a_bad_row_harms_no_other(spread: Spread) -> None:
    root, (one, two, *_) = spread.workspace.root, spread.users
    foundation = spread.workspace.foundation[0]
    lines = [
        {"user": one, "modality": "audio", "requestId": "good-1"},
        {"user": "nobody", "modality": "audio"},
        {"user": two, "modality": "smell"},
        {"user": foundation, "modality": "audio"},
        {"user": one, "modality": ["audio"]},
        {"user": one, "modality": ["all", "text"]},
        {"user": two, "modality": "audio", "requestId": "good-1"},
        {"user": two, "modality": "audio", "requestId": "no/id"},
        {"user": two},
        {"user": two, "modality": "text+vision", "requestId": "good-2"},
    ]
    path = root.parent / "batch.jsonl"
    path.write_text("\n".join([*map(json.dumps, lines), "not json"]))
    before = contents(root)

    preview = run_mbd(root, "revoke", "--batch", str(path), "--dry-run", "--json")
    assert contents(root) == before
    ran = run_mbd(root, "revoke", "--batch", str(path), "--json")

    assert (preview.code, ran.code) == (8, 8)
    assert ran.err == ""
    rows = ran.json["rows"]
    refused = run_mbd(root, "revoke", "--user", foundation, "--modality", "audio", "--json")
    assert [row["exitCode"] for row in rows] == [
        0, 4, 4, refused.code, 6, 2, 6, 2, 2, 0, 2,
    ]  # fmt: skip
    assert [bool(row["certificateId"]) for row in rows] == [row["error"] is None for row in rows]
    assert rows[6]["error"]["code"] == "request.differs"
    assert certificate(root, rows[9])["deletion"]["modalities"] == ["text", "vision"]
    held = spread.workspace.session().store().read(subjects=[two])
    assert any(value is not None for value in held.x["audio"])
    assert all(value is None for value in (*held.x["text"], *held.x["vision"]))
    assert types_logged(root)["certificate"] == 2
    assert must_run(root, "state", "check", "--json").json["equal"]
    shown = run_mbd(root, "revoke", "--batch", str(path))
    assert shown.code == 8
    assert "2 of 11" in shown.out  # found again by their ids
    for number, row in enumerate(rows, 1):
        assert row["error"] is None or str(number) in shown.out


def test_a_request_for_nothing_is_refused_and_not_recorded(
    trained_workspace: TrainedWorkspace,
) -> None:
    user = trained_workspace.revocable[0]
    with open_session(open_workspace(trained_workspace.root), write=True) as session:
        (row,) = revoke_many(session, [RevocationRequest(subject=user, modalities=())])
        assert row.error is not None
        assert row.error.exit_code == 2
    assert stages_of(trained_workspace) == []


def test_nothing_is_begun_where_every_row_is_bad(trained_workspace: TrainedWorkspace) -> None:
    root, before = trained_workspace.root, contents(trained_workspace.root)
    same = revoke_rows(root, ("nobody", "audio"), ("nobody else", "audio"))
    assert (same.code, [row["exitCode"] for row in same.json["rows"]]) == (4, [4, 4])
    mixed = revoke_rows(root, ("nobody", "audio"), ("", "audio"))
    assert (mixed.code, [row["exitCode"] for row in mixed.json["rows"]]) == (1, [4, 2])
    assert contents(root) == before
    assert types_logged(root)["attempt"] == 0


def test_a_batch_that_cannot_be_released_is_given_up_as_a_whole(
    trained_workspace: TrainedWorkspace,
) -> None:
    """One tolerance for all: what is too small for one is too small for everybody."""
    root, (one, two, *_) = trained_workspace.root, trained_workspace.revocable
    before = contents(root)
    path = write(root.parent / "batch.csv", (one, "audio", "r-1"), (two, "text", "r-2"))
    command = ["revoke", "--batch", path, "--json"]
    refused = run_mbd(root, *command, "--epsilon", "1e-12", "--delta", "1e-15")
    assert refused.code == 1
    for row in refused.json["rows"]:
        assert (row["exitCode"], row["error"]["code"]) == (1, "arithmetic.tolerance")
        assert "cancelled" in row["error"]["message"]
    assert stages_of(trained_workspace) == []
    assert contents(root) == before
    suppressed = trained_workspace.session().suppressions
    assert not suppressed.blocks(one, "audio")
    assert not suppressed.blocks(two, "text")
    assert types_logged(root)["cancel"] == 2
    assert [row["error"]["code"] for row in run_mbd(root, *command).json["rows"]] == [
        "request.differs"  # the same ids with another epsilon
    ] * 2
    assert revoke_rows(root, (one, "audio"), (two, "text")).code == 0


def test_one_person_may_give_up_several_channels_at_once(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    refused = run_mbd(root, *_several(user, "audio", "all"), "--json")
    assert (refused.code, refused.json["error"]["field"]) == (2, "--modality")

    done = must_run(root, *_several(user, "audio", "vision", "audio"), "--json").json

    stated = certificate(root, done)
    assert stated["deletion"]["modalities"] == ["audio", "vision"]
    assert (stated["guarantee"]["attempts"], types_logged(root)["attempt"]) == (1, 1)
    session = trained_workspace.session()
    held = session.store().read(subjects=[user])
    assert len(held.record_ids)
    assert all(value is None for value in (*held.x["audio"], *held.x["vision"]))
    assert session.state().digest == from_scratch(session)
    rest = must_run(root, *_several(user, "all"), "--json").json
    assert certificate(root, rest)["deletion"]["modalities"] == ["text"]
    shown = must_run(root, "data", "show", "--user", user, "--json").json
    assert (shown["records"], shown["revoked"]) == ([], ["audio", "text", "vision"])
    assert run_mbd(root, *_several(user, "all")).code == 6


def _several(user: str, *modalities: str) -> list[str]:
    return ["revoke", "--user", user, *(part for m in modalities for part in ("--modality", m))]


def test_a_batch_without_training_rows_draws_nothing(spread: Spread) -> None:
    root, silent = spread.workspace.root, spread.silent
    before = {path: path.read_bytes() for path in root.rglob("*.safetensors")}
    ran = revoke_rows(root, (silent, "audio"), (silent, "text"))
    assert ran.code == 0
    for row in ran.json["rows"]:
        guarantee = certificate(root, row)["guarantee"]
        assert (guarantee["class"], guarantee["attempts"]) == ("exact", 0)
    assert {path: path.read_bytes() for path in root.rglob("*.safetensors")} == before
    assert types_logged(root)["attempt"] == 0
    assert must_run(root, "state", "check", "--json").json["equal"]


def test_a_batch_leaves_the_state_that_one_by_one_leaves(
    spread: Spread, original_spread: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, two, three, *_), root = spread.users, spread.workspace.root
    asked = ((one, "audio"), (two, "all"), (three, "text"), (one, "vision"))
    assert revoke_rows(root, *asked).code == 0
    together = spread.workspace.session()
    shutil.copytree(original_spread, tmp_path / "other")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other" / STATE))
    other = spread_at(tmp_path / "other" / SERVICE).workspace
    for user, modality in asked:
        must_run(other.root, "revoke", "--user", user, "--modality", modality)
    apart = other.session()
    assert together.state().digest == apart.state().digest
    assert together.store().root() == apart.store().root()
    training = together.model().policy.training_id
    rows = [session.prepared(training).rows_of(one) for session in (together, apart)]
    assert rows[0].keys() == rows[1].keys() == {"text"}


@pytest.mark.slow
@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_whatever_batches_follow_each_other_the_state_never_saw_what_was_revoked(
    original_spread: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("batches")
    shutil.copytree(original_spread, folder, dirs_exist_ok=True)
    found = spread_at(folder / SERVICE)
    people = st.sampled_from([*found.users[:5], found.silent])
    names = st.lists(st.sampled_from(["audio", "text", "vision"]), min_size=1, max_size=2)
    one = st.tuples(people, st.one_of(names, st.just(["all"])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / STATE))
        with open_session(open_workspace(found.workspace.root), write=True) as session:
            off: set[tuple[str, str]] = set()
            for asked in data.draw(st.lists(st.lists(one, min_size=1, max_size=6), max_size=3)):
                terms = data.draw(st.sampled_from([Terms(), Terms(method="exact")]))
                requests = [
                    RevocationRequest(subject=user, modalities=tuple(m)) for user, m in asked
                ]
                rows = revoke_many(session, requests, terms)
                for (user, modalities), row in zip(asked, rows, strict=True):
                    wanted = {(user, name) for name in modalities if name != "all"}
                    assert (row.certificate_id is None) == isinstance(row.error, MbdError)
                    if modalities != ["all"]:
                        assert (row.error is not None) == bool(wanted & off)
                    if row.error is None:
                        wanted |= {(user, name) for name in ("audio", "text", "vision")
                                   if modalities == ["all"]}  # fmt: skip
                        off |= wanted
                held = session.store().read(subjects=sorted({user for user, _ in off}))
                for name, column in held.x.items():
                    for user, value in zip(held.subjects, column, strict=True):
                        assert value is None or (user, name) not in off
                assert session.state().digest == from_scratch(session)
            checked = check_state(session)
            assert checked.ok, checked.findings
