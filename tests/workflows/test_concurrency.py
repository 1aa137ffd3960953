"""Two at once: writers take turns, readers go on and never use what is being revoked."""

from __future__ import annotations

import time
from functools import partial

import pytest

from mbd.database.journal import Journal
from mbd.errors import IntegrityError
from mbd.workflows.model import ServedModel, serving
from mbd.workflows.predict import predict_record
from mbd.workspace.layout import open_workspace
from tests.workflows.children import child_mbd, die_before, sleep_before, start_mbd, table_of
from tests.workflows.disk import (
    MODALITY,
    assert_finished_once,
    assert_nothing_left,
    revoke,
    stage_of,
)
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

STAGE = "mbd.workflows.stage"


def test_two_revocations_at_once_take_turns_and_both_finish(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, users = trained_workspace.root, trained_workspace.revocable[:2]
    slow = partial(sleep_before, STAGE, "_count_attempt", seconds=0.5)
    children = [start_mbd(root, *revoke(user), prelude=slow) for user in users]
    done = [child.wait() for child in children]
    assert [ran.code for ran in done] == [0, 0], [ran.err for ran in done]
    certificates = {ran.json["certificateId"] for ran in done}
    assert len(certificates) == 2
    for ran in done:
        must_run(root, "verify", ran.json["bundle"])
    assert must_run(root, "ledger", "check", "--json").json["ok"]
    entries = must_run(root, "ledger", "list", "--json").json["entries"]
    assert sum(entry["type"] == "certificate" for entry in entries) == 2
    assert must_run(root, "state", "check", "--json").json["equal"]
    for user in users:
        assert_nothing_left(trained_workspace, user)


def test_the_same_revocation_twice_at_once_is_carried_out_once(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    children = [start_mbd(root, *revoke(user)) for _ in range(2)]
    first, second = sorted((child.wait() for child in children), key=lambda ran: ran.code)
    assert (first.code, second.code) == (0, 6), (first.err, second.err)
    assert first.json["certificateId"] in second.json["error"]["message"]
    assert_finished_once(trained_workspace, user)


def test_the_same_request_id_twice_at_once_gives_the_same_certificate_twice(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    children = [start_mbd(root, *revoke(user, "--request-id", "r-1")) for _ in range(2)]
    done = [child.wait() for child in children]
    assert [ran.code for ran in done] == [0, 0], [ran.err for ran in done]
    assert len({ran.json["certificateId"] for ran in done}) == 1
    assert sorted(ran.json["repeated"] for ran in done) == [False, True]
    assert_finished_once(trained_workspace, user)


@pytest.mark.parametrize(
    "step",
    [
        "received",
        "suppressed",
        pytest.param("staged", marks=pytest.mark.slow),
        "activated",
        pytest.param("scanned", marks=pytest.mark.slow),
    ],
)
def test_a_reader_goes_on_during_a_revocation_and_does_not_use_the_channel(
    trained_workspace: TrainedWorkspace, step: str
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    shown = must_run(root, "data", "show", "--user", user, "--json").json["records"]
    record = next(r["record"] for r in shown if set(r["available"]) > {MODALITY})
    slow = partial(sleep_before, table_of(step), step, seconds=1.5)
    child = start_mbd(root, *revoke(user), prelude=slow)
    _wait_for(trained_workspace, step)

    predicted = must_run(root, "predict", "--record", record, "--json").json

    assert stage_of(trained_workspace) == step, "the revocation went on meanwhile: no test"
    assert (MODALITY in predicted["used"]) == (step == "received")
    must_run(root, "data", "info")
    must_run(root, "ledger", "list")
    assert child.wait().code == 0
    assert_finished_once(trained_workspace, user)


@pytest.mark.slow
def test_predictions_never_fail_while_revocations_and_a_training_replace_the_model(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, (one, two, other) = trained_workspace.root, trained_workspace.revocable[:3]
    shown = must_run(root, "data", "show", "--user", other, "--json").json["records"]
    record = shown[0]["record"]
    train = ["train", "--core", "none", "--set", "heads.width=160"]
    models = set()
    for command in (revoke(one), train, revoke(two)):
        child = start_mbd(root, *command)
        while child.process.is_alive():
            models.add(predict_record(trained_workspace.session(), record).model)
        assert child.wait().code == 0
    models.add(predict_record(trained_workspace.session(), record).model)
    assert len(models) >= 3


def test_a_reader_whose_model_is_replaced_under_its_hands_reads_the_new_one(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    session = trained_workspace.session()
    old = serving(session)
    read, asked = ServedModel.in_memory, []

    def too_late(model: ServedModel) -> ServedModel:
        asked.append(model.snapshot.model_id)
        if len(asked) == 1:
            must_run(root, *revoke(user))
        return read(model)

    monkeypatch.setattr(ServedModel, "in_memory", too_late)
    new = serving(session)
    assert asked == [old.snapshot.model_id, new.snapshot.model_id]
    assert old.snapshot.model_id != new.snapshot.model_id
    assert old.weights(MODALITY).size, "what was read stays readable"
    assert not old.snapshot.folder.exists()


def test_a_torn_model_is_reported_and_not_read_for_ever(
    trained_workspace: TrainedWorkspace,
) -> None:
    session = trained_workspace.session()
    snapshot = session.model().snapshot
    (snapshot.folder / "heads" / f"{MODALITY}.safetensors").write_bytes(b"torn")
    with pytest.raises(IntegrityError, match="digest"):
        serving(session)


def test_a_writer_that_waits_too_long_is_told_to_try_again(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, (one, two) = trained_workspace.root, trained_workspace.revocable[:2]
    slow = partial(sleep_before, table_of("staged"), "staged", seconds=1.5)
    child = start_mbd(root, *revoke(one), prelude=slow)
    _wait_for(trained_workspace, "staged")
    monkeypatch.setattr(
        "mbd.workflows.lock.exclusive.__wrapped__.__kwdefaults__", {"wait_seconds": 0.1}
    )
    busy = run_mbd(root, *revoke(two))
    assert (busy.code, busy.json["error"]["code"]) == (7, "workspace.busy")
    assert child.wait().code == 0


def test_the_lock_of_a_killed_writer_is_free(trained_workspace: TrainedWorkspace) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    child_mbd(root, *revoke(user), prelude=partial(die_before, STAGE, "_count_attempt"))
    assert (open_workspace(root).lock_file).exists()
    started = time.monotonic()
    must_run(root, "resume")
    assert time.monotonic() - started < 20


def _wait_for(workspace: TrainedWorkspace, stage: str) -> None:
    """Until the request of a child has reached a stage."""
    deadline = time.monotonic() + 60
    while True:
        with workspace.session().database.read() as connection:
            if [r.stage for r in Journal(connection).open_requests()] == [stage]:
                return
        assert time.monotonic() < deadline, f"never {stage}"
        time.sleep(0.02)
