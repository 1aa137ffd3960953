"""Data that arrives while a model serves is learned by adding, exactly once."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbd.data.records import Records
from mbd.database import pointers
from mbd.errors import ConflictError, NotFoundError, RefusedError
from mbd.workflows.consent import grant_consent
from mbd.workflows.grow import add_data
from mbd.workflows.opening import open_session
from mbd.workflows.resolve import RevocationRequest
from mbd.workflows.revoke import revoke_modality
from mbd.workflows.snapshots import derive_model
from mbd.workflows.state_check import check_state
from mbd.workspace.layout import open_workspace
from tests.conftest import SERVICE, STATE
from tests.workflows.arrivals import ALL, archive, from_scratch, new_records
from tests.workflows.children import KILLED, child_mbd, die_after, die_before, fail_at
from tests.workspaces import TrainedWorkspace, describe, must_run, run_mbd

GROW, GROWTH = "mbd.workflows.grow", "mbd.workflows.growth"


def growths(root: Path) -> int:
    """How many additions the ledger knows."""
    entries = must_run(root, "ledger", "list", "--json").json["entries"]
    return sum(entry["type"] == "growth" for entry in entries)


def files_of(root: Path) -> dict[Path, bytes]:
    """Everything but the databases."""
    return {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and ".db" not in p.name}


def test_what_arrives_is_learned_as_if_it_had_been_there_from_the_start(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    before = trained_workspace.session().model().snapshot
    rows = {head: n for head, (_, n) in trained_workspace.session().state().heads.items()}

    done = must_run(root, "data", "add", *archive(trained_workspace, ["n1", "n2"], user), "--json")

    session = trained_workspace.session()
    assert done.json["imported"] == 2
    assert done.json["learned"] == dict.fromkeys(rows, 2)
    assert done.json["state"] == session.state().digest == from_scratch(session)
    assert done.json["model"] == session.model().snapshot.model_id != before.model_id
    assert {h: n for h, (_, n) in session.state().heads.items()} == {
        h: n + 2 for h, n in rows.items()
    }
    assert must_run(root, "state", "check", "--json").json["findings"] == []
    assert growths(root) == 1
    assert [path.name for path in (root / "models").iterdir()] == [done.json["model"]]
    must_run(root, "predict", "--record", "n1")


def test_somebody_new_is_learned_and_can_revoke(trained_workspace: TrainedWorkspace) -> None:
    root = trained_workspace.root
    cohorts = trained_workspace.session().store().schema.cohorts
    names = (f"new-{number}" for number in range(100))
    user = next(name for name in names if cohorts.cohort_of(name) == "revocable")
    must_run(root, "data", "add", *archive(trained_workspace, ["n1", "n2"], user))

    done = must_run(root, "revoke", "--user", user, "--modality", "audio", "--json").json

    assert done["heads"] == ["audio", "audio+text", "audio+text+vision", "audio+vision"]
    assert must_run(root, "verify", done["bundle"], "--json").json["verdict"] == "valid"
    assert must_run(root, "state", "check", "--json").json["findings"] == []
    session = trained_workspace.session()
    assert session.state().digest == from_scratch(session)


def test_somebody_new_in_the_foundation_is_learned_by_heads_that_have_no_core(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.foundation[0]
    arguments = archive(trained_workspace, ["n1"], user, ("text",))
    assert must_run(root, "data", "add", *arguments, "--json").json["learned"] == {"text": 1}


def test_only_heads_of_what_arrived_are_released_anew(trained_workspace: TrainedWorkspace) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    before = {f.path: f.sha256 for f in trained_workspace.session().model().snapshot.files}
    arguments = archive(trained_workspace, ["n1"], user, ("text",))
    done = must_run(root, "data", "add", *arguments, "--json").json
    assert done["learned"] == {"text": 1}
    after = {f.path: f.sha256 for f in trained_workspace.session().model().snapshot.files}
    assert [path for path in before if before[path] != after[path]] == ["heads/text.safetensors"]


def test_the_order_of_arrivals_does_not_matter(original: Path, tmp_path: Path) -> None:
    digests = set()
    for order in ([0, 1], [1, 0]):
        folder = tmp_path / str(order[0])
        shutil.copytree(original, folder)
        found = describe(folder / SERVICE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(folder / STATE))
            with open_session(open_workspace(found.root), write=True) as session:
                schema = session.store().schema
                for number in order:
                    user = found.revocable[number]
                    records = new_records(session, [f"n{number}"], user, seed=number)
                    digest = add_data(session, records, schema).state
        digests.add(digest)
    assert len(digests) == 1


def test_files_of_rows_stay_small_as_people_join(trained_workspace: TrainedWorkspace) -> None:
    root = trained_workspace.root

    def add(people: range) -> None:
        with open_session(open_workspace(root), write=True) as session:
            made = [new_records(session, [f"n{one}"], f"new-{one}") for one in people]
            add_data(session, Records.concat(made), session.store().schema)

    def files() -> tuple[int, int]:
        session = trained_workspace.session()
        prepared = session.prepared(session.model().policy.training_id)
        return len(session.store().buckets()), len(prepared.buckets())

    assert files() == (1, 1)
    add(range(60))
    add(range(60, 61))

    session = trained_workspace.session()
    held, rows = files()
    assert held == rows > 2
    assert session.state().digest == from_scratch(session)
    assert must_run(root, "state", "check", "--json").json["findings"] == []


def test_what_was_imported_unlearned_is_learned_by_the_next_addition(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, (one, other, *_) = trained_workspace.root, trained_workspace.revocable
    state = trained_workspace.session().state().digest
    ran = must_run(root, "data", "import", *archive(trained_workspace, ["n1"], one))
    assert "the model did not learn this" in ran.err
    assert trained_workspace.session().state().digest == state
    arguments = archive(trained_workspace, ["n2"], other, ("text",))
    done = must_run(root, "data", "add", *arguments, "--json").json
    assert done["learned"]["text"] == 2
    assert done["learned"]["audio+text+vision"] == 1
    session = trained_workspace.session()
    assert session.state().digest == from_scratch(session)


def test_without_training_rows_nothing_is_released(trained_workspace: TrainedWorkspace) -> None:
    with open_session(open_workspace(trained_workspace.root), write=True) as session:
        found = new_records(session, ["n1"], trained_workspace.revocable[0])
        held_out = Records(found.record_ids, found.subjects, found.cohorts, ("test",),
                           found.labels, found.x)  # fmt: skip
        before = session.model().snapshot
        added = add_data(session, held_out, session.store().schema)
        assert (added.intake.taken, added.learned, added.model) == (1, {}, before.model_id)
    assert growths(trained_workspace.root) == 0


def test_without_a_model_data_is_only_held(tmp_path: Path) -> None:
    root = tmp_path / "service"
    must_run(tmp_path, "init", str(root))
    must_run(root, "data", "synth", "--users", "24", "--records", "48", "--seed", "1")
    done = must_run(root, "data", "add", *archive(describe(root), ["n1"], "0"), "--json").json
    assert (done["records"], done["learned"], done["model"], done["state"]) == (49, {}, None, None)


def test_a_first_import_is_no_addition(trained_workspace: TrainedWorkspace, tmp_path: Path) -> None:
    arguments = archive(trained_workspace, ["n1"], "0")
    must_run(tmp_path, "init", str(tmp_path / "empty"))
    ran = run_mbd(tmp_path / "empty", "data", "add", *arguments, "--json")
    assert ran.code == NotFoundError.exit_code
    assert "mbd data import" in ran.json["error"]["hint"]


def test_what_cannot_be_added_changes_nothing(trained_workspace: TrainedWorkspace) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    before = files_of(root)
    held = must_run(root, "data", "show", "--user", user, "--json").json["records"][0]["record"]
    twice = archive(trained_workspace, ["n1", held], user)
    assert run_mbd(root, "data", "add", *twice).code == ConflictError.exit_code
    other = archive(trained_workspace, ["n2"], user)
    spec = Path(other[-1])
    spec.write_text(spec.read_text().replace("[-3.0, 3.0]", "[-4.0, 4.0]"))
    assert run_mbd(root, "data", "add", *other).code == ConflictError.exit_code
    assert files_of(root) == before
    assert growths(root) == 0


def test_more_rows_than_the_heads_are_planned_for_are_refused_before_anything_is_written(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    must_run(root, "train", "--core", "none", "--set", "heads.width=160",
             "--set", "heads.planned_rows=200")  # fmt: skip
    before = files_of(root)
    names = [f"n{number}" for number in range(200)]
    ran = run_mbd(root, "data", "add", *archive(trained_workspace, names, user), "--json")
    assert ran.code == RefusedError.exit_code
    assert ran.json["error"]["field"] == "heads.planned_rows"
    assert files_of(root) == before


def test_a_disk_that_is_full_leaves_no_row_without_its_record(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    state = trained_workspace.session().state().digest
    command = ["data", "add", *archive(trained_workspace, ["n1"], user)]
    for name in ("derive_model", "derive_state"):
        full = partial(fail_at, GROWTH, name)
        assert child_mbd(root, *command, prelude=full).code not in (0, KILLED)
        assert trained_workspace.session().state().digest == state
        assert must_run(root, "state", "check", "--json").json["findings"] == []
    must_run(root, *command)


NEXT = (["resume"], ["data", "info"], ["predict", "--record", "r000000"])
MOMENTS = [
    ("found good", partial(die_before, GROW, "begin_growth"), False),
    ("begun", partial(die_after, GROW, "begin_growth"), False),
    ("rows stored", partial(die_before, GROW, "stage_growth"), False),
    ("state written", partial(die_before, GROWTH, "release_with_noise"), False),
    ("model written", partial(die_after, GROW, "stage_growth"), False),
    ("records stored", partial(die_before, GROW, "end_growth"), True),
    ("nothing logged", partial(die_before, "mbd.ledger.log.Log", "append"), True),
    ("current", partial(die_before, "mbd.ledger.log.Log", "publish"), True),
    ("published", partial(die_before, GROWTH, "remove_leftovers"), True),
]


@pytest.mark.parametrize(
    ("kill", "held", "command"),
    [
        pytest.param(kill, held, NEXT[number % len(NEXT)], id=name)
        for number, (name, kill, held) in enumerate(MOMENTS)
    ],
)
def test_killed_anywhere_all_of_it_happened_or_nothing(
    trained_workspace: TrainedWorkspace, kill: partial[None], held: bool, command: list[str]
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    rows = trained_workspace.session().state().heads["text"][1]
    add = ["data", "add", *archive(trained_workspace, ["n1", "n2"], user)]

    assert child_mbd(root, *add, prelude=kill).code == KILLED

    must_run(root, *command)
    session = trained_workspace.session()
    assert session.state().heads["text"][1] == rows + 2 * held
    assert session.state().digest == from_scratch(session)
    must_run(root, "resume")
    assert run_mbd(root, *add).code == (ConflictError.exit_code if held else 0)
    assert growths(root) == 1
    session = trained_workspace.session()
    assert session.state().digest == from_scratch(session)
    assert session.state().heads["text"][1] == rows + 2
    assert must_run(root, "state", "check", "--json").json["findings"] == []
    assert [path.name for path in (root / "state").iterdir()] == [session.state().state_id]
    assert list((root / "models").iterdir()) == [session.model().snapshot.folder]
    must_run(root, "revoke", "--user", user, "--modality", "audio")


def test_a_resumption_that_is_killed_too_learns_it_once(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    add = ["data", "add", *archive(trained_workspace, ["n1"], user)]
    assert child_mbd(root, *add, prelude=partial(die_before, GROW, "end_growth")).code == KILLED
    again = partial(die_before, "mbd.ledger.log.Log", "append")
    assert child_mbd(root, "resume", prelude=again).code == KILLED

    resumed = must_run(root, "resume", "--json").json

    assert "audio+text+vision" in resumed["learned"]
    assert resumed["undoneRows"] == 0
    assert growths(root) == 1
    session = trained_workspace.session()
    assert session.state().digest == from_scratch(session)
    assert must_run(root, "resume", "--json").json["learned"] == []


def test_a_model_that_no_growth_names_is_caught(trained_workspace: TrainedWorkspace) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    must_run(root, "revoke", "--user", user, "--modality", "audio", "--method", "exact")
    must_run(root, "data", "add", *archive(trained_workspace, ["n1"], user, ("text",)))
    assert must_run(root, "state", "check", "--json").json["findings"] == []
    session = trained_workspace.session()
    snapshot = session.model().snapshot
    heads = {"text": snapshot.head("vision")}
    forged = derive_model(snapshot, "01J00000000000000000000000", heads)
    with session.database.transaction() as connection:
        pointers.set(connection, "model", forged.to_pointer())
        connection.exec_driver_sql(
            "UPDATE model SET model_id = ? WHERE model_id = ?", (forged.model_id, snapshot.model_id)
        )
    found = run_mbd(root, "state", "check", "--json").json["findings"]
    assert any("the model is not the one that ledger entry" in line for line in found)


@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_sequence_of_additions_revocations_and_grants_leaves_the_state_from_scratch(
    original: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """And nothing that is revoked is held, and nothing else is lost."""
    folder = tmp_path_factory.mktemp("sequence")
    shutil.copytree(original, folder, dirs_exist_ok=True)
    found = describe(folder / SERVICE)
    users = found.revocable[:2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / STATE))
        with open_session(open_workspace(found.root), write=True) as session:
            store = session.store()
            off: set[tuple[str, str]] = set()
            kept = {
                (name, modality): user
                for user in users
                for held in [store.read(subjects=[user])]
                for index, name in enumerate(held.record_ids)
                for modality in held.availability(index)
            }
            for step in range(5):
                user = data.draw(st.sampled_from(users))
                modality = data.draw(st.sampled_from(ALL))
                action = data.draw(st.sampled_from(["add", "add", "revoke", "grant"]))
                if action == "add":
                    name = f"n{step}"
                    channels = tuple(sorted({modality, data.draw(st.sampled_from(ALL))}))
                    records = new_records(session, [name], user, channels, seed=step)
                    added = add_data(session, records, store.schema)
                    taken = [m for m in channels if (user, m) not in off]
                    assert added.intake.suppressed == len(channels) - len(taken)
                    kept |= {(name, m): user for m in taken}
                elif action == "grant" and (user, modality) in off:
                    grant_consent(session, user, modality)
                    off.remove((user, modality))
                elif action == "revoke" and user in {
                    owner for (_, m), owner in kept.items() if m == modality
                }:
                    revoke_modality(
                        session, RevocationRequest(subject=user, modalities=(modality,))
                    )
                    off.add((user, modality))
                    kept = {k: w for k, w in kept.items() if (w, k[1]) != (user, modality)}
                held = session.store().read(subjects=users)
                assert kept == {
                    (name, m): held.subjects[index]
                    for index, name in enumerate(held.record_ids)
                    for m in held.availability(index)
                }
                assert session.state().digest == from_scratch(session)
            checked = check_state(session)
            assert checked.ok, checked.findings
