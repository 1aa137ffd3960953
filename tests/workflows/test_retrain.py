"""Retraining: what comes of it is what a workspace trains that never held the revoked channel."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import insert

from mbd.canonical.digest import sha256_file
from mbd.data.intake import take_in
from mbd.data.synthetic import synthesise
from mbd.database import models, suppressions, tables
from mbd.deletion.check import check_head
from mbd.errors import RefusedError
from mbd.ledger.bodies import erase_policies
from mbd.ledger.check import check_log
from mbd.ledger.queries import body_of, list_entries
from mbd.workflows.policy import Policy
from mbd.workflows.retrain import (
    CHECKPOINTS,
    Retrained,
    check_retrainable,
    check_training,
    preview_retraining,
    recipe_of,
    stage_retraining,
)
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot
from mbd.workspace.layout import open_workspace
from mbd.workspace.settings import load_settings
from tests.workflows.children import KILLED, die_after, die_before
from tests.workspaces import must_run

USERS, RECORDS, SEED = 24, 240, 1
TRAINING, MODEL, STATE = (f"01KRTWXDG0DEFGHJKMNPQRSTV{last}" for last in "WXY")
TRAIN = (
    "train", "--core", "auto", "--seed", "3", "--set", "heads.width=160",
    "--set", "core.epochs=2", "--set", "core.hidden=4", "--set", "core.activations=8",
)  # fmt: skip
GONE, SERVICE = "audio", "service"

_CONTEXT = multiprocessing.get_context("forkserver")


def session_at(root: Path) -> Session:
    """A session; the memory of the log is beside the workspace (a fixture puts all back)."""
    os.environ["XDG_STATE_HOME"] = str(root.parent / "state")
    workspace = open_workspace(root)
    return Session(workspace, load_settings(workspace))


def build(root: Path, without: tuple[str, str] | None = None, core: str = "auto") -> None:
    """A trained workspace, of the same data or of data that never held a channel."""
    records, schema = synthesise(USERS, RECORDS, SEED)
    root.parent.mkdir(parents=True, exist_ok=True)
    os.environ["XDG_STATE_HOME"] = str(root.parent / "state")
    must_run(root.parent, "init", str(root))
    session = session_at(root)
    held = records.without(lambda subject, name: (subject, name) == without)
    take_in(session.store_folder, session.key, held, schema)
    must_run(root, *("trained" if word == "auto" and core == "trained" else word for word in TRAIN))


def suppress(root: Path, subject: str, *modalities: str) -> None:
    """What the first step of a revocation does."""
    session, now = session_at(root), datetime.now(UTC)
    row = {"fingerprint": "f", "stage": "suppressed", "attempts": 0}
    times = {"received_at": "2026-05-17T12:00:00Z", "due_by": "2026-06-17T12:00:00Z"}
    with session.database.transaction() as connection:
        connection.execute(insert(tables.request).values(request_id="r1", **row, **times))
        for name in modalities:
            suppressions.add(connection, session.key, subject, name, now, "r1")


def stage(root: Path) -> Retrained:
    """Retrain beside the old, as one batch."""
    session = session_at(root)
    batch = session.workspace.staging / "batch"
    batch.mkdir(exist_ok=True)
    return stage_retraining(session, batch, training_id=TRAINING, model_id=MODEL, state_id=STATE)


def child(root: Path, prelude: Callable[[], None] | None = None) -> int | None:
    """`stage` in a fresh process; how it ended."""
    process = _CONTEXT.Process(target=_stage, args=(root, prelude))
    process.start()
    process.join(240)
    return process.exitcode


def _stage(root: Path, prelude: Callable[[], None] | None) -> None:
    if prelude is not None:
        prelude()
    stage(root)


def made(root: Path) -> dict[str, str]:
    """Digests of everything that a retraining wrote, rows by content."""
    session = session_at(root)
    folders = (session.workspace.models / MODEL, session.workspace.state / STATE)
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    found = {str(path.relative_to(root)): sha256_file(path) for path in paths}
    return {**found, "rows": session.prepared(TRAINING).digest()}


def policies(root: Path) -> list[int]:
    with session_at(root).database.read() as connection:
        return [one.index for one in list_entries(connection) if one.type == "policy"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace that has a trained core, and the memory of its log."""
    folder = tmp_path_factory.mktemp("retrain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", "")
        build(folder / SERVICE, core="trained")
    return folder


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """A fresh copy, in which a foundation subject's voice is suppressed."""
    root = copied(trained, tmp_path / "one")
    suppress(root, foundation_subject(root), GONE)
    return root


def copied(folder: Path, target: Path) -> Path:
    """A workspace with the memory of its log, elsewhere."""
    for name in (SERVICE, "state"):
        shutil.copytree(folder / name, target / name)
    return target / SERVICE


def foundation_subject(root: Path) -> str:
    """Somebody with every channel whose data trained the core."""
    return next(
        one.user
        for one in session_at(root).store().subjects()
        if one.cohort == "foundation" and len(one.available) == 3
    )


def test_it_is_what_a_workspace_trains_that_never_held_the_channel(root, tmp_path):
    session = session_at(root)
    before = session.model()
    assert before.policy.core == "trained"
    done = stage(root)

    never = tmp_path / "other" / "never"
    build(never, (foundation_subject(root), GONE), core="trained")
    other = stage(never)

    assert done.model_pointer == other.model_pointer
    assert done.state_pointer == other.state_pointer
    assert made(root) == made(never)
    model = ModelSnapshot.from_pointer(session.workspace.models, done.model_pointer)
    policy = Policy.from_bytes(model.read("policy.json"))
    assert policy.core_digest != before.policy.core_digest
    assert policy.scaler != before.policy.scaler
    assert policy.recipe == before.policy.recipe
    assert done.selected == tuple(sorted(policy.heads))


def test_nothing_else_moves_and_the_heads_are_the_optimum_without_noise(root):
    session = session_at(root)
    model, state = session.model(), session.state()
    done = stage(root)

    assert session.model().snapshot == model.snapshot
    assert session.state() == state
    model.snapshot.check()
    new = ModelSnapshot.from_pointer(session.workspace.models, done.model_pointer)
    sums = StateSnapshot.from_pointer(session.workspace.state, done.state_pointer)
    policy = Policy.from_bytes(new.read("policy.json"))
    for name, head in policy.heads.items():
        released, constants = new.head(name), head.constants
        assert released.noise_steps == 0
        found = check_head(
            sums.load(name), constants.scale, released.weights, grid=constants.grid, sigma=None
        )
        assert found.passed, name
    assert policies(root)[-1] == done.policy_entry
    with session.database.read() as connection:
        assert body_of(connection, done.policy_entry) == policy.to_bytes()


def test_training_again_finds_the_model_as_it_is_and_one_that_learned_from_somebody_else(
    trained, tmp_path
):
    root = copied(trained, tmp_path / "same")
    before = everything(root)
    assert check_training(session_at(root)) == ()
    assert everything(root) == before

    suppress(root, foundation_subject(root), GONE)
    assert check_training(session_at(root)) == (
        "core, scaling or choices differ",
        "the state differs",
    )


@pytest.mark.slow
def test_two_fresh_processes_write_the_same_bits(root, tmp_path):
    again = copied(root.parent, tmp_path / "again")

    assert (child(root), child(again)) == (0, 0)

    assert made(root) == made(again)


def dies(name: str, kill: Callable[[], None], *, slow: bool = True) -> object:
    return pytest.param(kill, id=name, marks=[pytest.mark.slow] if slow else [])


FIT, RETRAIN, RUN = "mbd.workflows.fit", "mbd.workflows.retrain", "mbd.training.run.Run"
KILLS = [
    dies("first core", partial(die_after, RUN, "save"), slow=False),
    dies("second core", partial(die_after, RUN, "save", call=3)),
    dies("not announced", partial(die_before, FIT, "announce")),
    dies("announced", partial(die_after, FIT, "announce")),
    dies("rows", partial(die_before, "mbd.data.buckets.BucketFolder", "commit")),
    dies("no state", partial(die_before, RETRAIN, "write_state")),
    dies("state", partial(die_before, FIT, "write_model")),
    dies("heads", partial(die_before, "mbd.workflows.snapshots", "head_file", call=3)),
    dies("all written", partial(die_after, RETRAIN, "write_fitted")),
]


@pytest.fixture(scope="module")
def expected(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a retraining writes that nobody kills."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", "")
        root = copied(trained, tmp_path_factory.mktemp("whole"))
        suppress(root, foundation_subject(root), GONE)
        stage(root)
        return made(root)


@pytest.mark.parametrize("kill", KILLS)
def test_killed_anywhere_and_repeated_it_writes_the_same_and_announces_once(root, kill, expected):
    before = len(policies(root))

    assert child(root, kill) == KILLED
    assert child(root, kill_later) in (KILLED, 0)
    assert child(root) == 0

    assert made(root) == expected
    assert len(policies(root)) == before + 1


def kill_later() -> None:
    """The second attempt dies as well, if there is still something to train."""
    die_after(RUN, "save", call=2)


def test_it_follows_the_recipe_of_the_model_not_the_settings_of_today(root, monkeypatch):
    first = stage(root)
    monkeypatch.setenv("MBD_HEADS__WIDTH", "512")
    monkeypatch.setenv("MBD_DELETION__EPSILON", "3")
    assert session_at(root).settings.heads.width == 512

    assert stage(root) == first


def test_checkpoints_and_nothing_else_are_kept_with_the_batch(root):
    stage(root)

    batch = session_at(root).workspace.staging / "batch"
    found = sorted(str(path.relative_to(batch)) for path in batch.rglob("*") if path.is_file())
    assert found == [f"{CHECKPOINTS}/core.safetensors", f"{CHECKPOINTS}/half.safetensors"]
    assert (batch / CHECKPOINTS).stat().st_mode & 0o077 == 0


def everybody(root: Path, cohorts: set[str]) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (one.user, ("audio", "text", "vision"))
        for one in session_at(root).store().subjects()
        if one.cohort in cohorts
    ]


@pytest.mark.parametrize(
    ("cohorts", "names", "code"),
    [
        ({"foundation"}, 3, "train.unscaled"),
        ({"foundation"}, 1, "train.unscaled"),
        ({"foundation", "revocable"}, 3, "train.no_rows"),
    ],
)
def test_with_nobody_left_to_learn_from_it_refuses_before_anything_is_written(
    root, cohorts, names, code
):
    revoked = [(user, channels[:names]) for user, channels in everybody(root, cohorts)]
    for refused in (
        partial(check_retrainable, session_at(root), revoked),
        partial(preview_retraining, session_at(root), revoked),
    ):
        with pytest.raises(RefusedError) as refusal:
            refused()
        assert refusal.value.code == code
    session, now = session_at(root), datetime.now(UTC)
    with session.database.transaction() as connection:
        for user, channels in revoked:
            for name in channels:
                suppressions.add(connection, session.key, user, name, now, "r1")
    before = sorted(path for path in root.rglob("*") if "ledger.db" not in path.name)
    with pytest.raises(RefusedError):
        stage_retraining(
            session, root / "staging", training_id=TRAINING, model_id=MODEL, state_id=STATE
        )
    assert sorted(path for path in root.rglob("*") if "ledger.db" not in path.name) == before


def test_a_policy_without_a_recipe_is_refused_and_keeps_its_bytes(root):
    policy = session_at(root).model().policy
    assert Policy.from_bytes(policy.to_bytes()) == policy
    older = dataclasses.replace(policy, recipe=None)
    assert b"recipe" not in older.to_bytes()
    assert Policy.from_bytes(older.to_bytes()) == older

    with pytest.raises(RefusedError) as refusal:
        recipe_of(older)
    assert refusal.value.code == "retrain.no_recipe"


def test_a_preview_names_every_block_and_the_seconds_of_the_last_training(root):
    session = session_at(root)
    before = everything(root)
    found = preview_retraining(session, [("0", ("text",))])

    assert found.blocks[:3] == ("scaler", "policy", "core")
    assert set(found.blocks[3:]) == set(session.model().policy.heads)
    assert found.estimated_seconds is not None
    assert found.estimated_seconds > 0
    assert "when core training stops" in found.choices
    assert everything(root) == before
    (root / "data" / "training.json").unlink()
    assert preview_retraining(session, []).estimated_seconds is None


def everything(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if "ledger.db" not in path.name)


def test_policies_before_are_erased_and_the_ledger_still_holds(root):
    session = session_at(root)
    before = session.model().policy.to_bytes()
    moments = before[before.index(b'"mean":[') :][:60]
    done = stage(root)
    with session.database.transaction() as connection:
        old = models.policy_index(connection, session.model().snapshot.model_id)
        erase_policies(connection, keep=done.policy_entry)
    session.database.purge()

    with session.database.read() as connection:
        assert body_of(connection, old) is None
        assert body_of(connection, done.policy_entry) is not None
        assert check_log(connection, session.log.verifier_key, None).ok
    assert moments not in (root / "ledger.db").read_bytes()
