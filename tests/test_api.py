"""A workspace in Python does what the commands do, and importing it costs nothing."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mbd
from mbd import ConflictError, DataError, MbdError, NotFoundError, UsageError, Workspace
from mbd.cli.main import main
from tests.workspaces import TrainedWorkspace, must_run

HEAVY = ("torch", "numpy", "scipy", "sqlalchemy", "pyarrow", "pydantic", "click")


@pytest.fixture
def service(trained_workspace: TrainedWorkspace) -> Workspace:
    return Workspace.open(trained_workspace.root / "data")  # found above, as by commands


def test_a_revocation_gives_what_the_command_gives(
    service: Workspace, trained_workspace: TrainedWorkspace
) -> None:
    user = trained_workspace.revocable[0]
    preview = service.preview(user, "audio")

    done = service.revoke(user, "audio", request_id="ticket-1")

    assert dataclasses.is_dataclass(done)
    assert (done.guarantee_class, done.heads) == ("certified", preview.heads)
    assert 0 < float(str(done.epsilon)) <= 1
    assert float(str(done.delta)) == 1e-6
    assert service.verify(done.bundle).verdict == "valid"
    assert service.verify(done.bundle, receipt=done.receipt, require="SUBJECT").exit_code == 0
    assert must_run(service.root, "verify", done.bundle, "--json").json["verdict"] == "valid"
    assert service.revoke(user, "audio", request_id="ticket-1").repeated
    assert service.state_check(receipt=done.receipt).ok
    assert service.resume().finished == ()
    with pytest.raises(ConflictError) as refused:
        service.revoke(user, "audio")
    assert refused.value.code == "revoked.already"


def test_a_prediction_is_the_commands_and_honours_revocations(
    service: Workspace, trained_workspace: TrainedWorkspace
) -> None:
    user = trained_workspace.revocable[0]
    held = must_run(service.root, "data", "show", "--user", user, "--json").json["records"]
    record = next(one["record"] for one in held if len(one["available"]) == 3)
    found = trained_workspace.session().store().record(record)
    arrays = {name: np.asarray(x[0]) for name, x in found.x.items()}

    told = must_run(service.root, "predict", "--record", record, "--json").json
    stored = service.predict(record)

    assert (stored.prediction, stored.used) == (told["prediction"], tuple(told["used"]))
    assert service.predict(input=arrays, user=user) == stored
    np.savez(service.root / "clip.npz", **arrays)
    assert service.predict(input=service.root / "clip.npz", user=user) == stored
    assert service.predict(record, without=["text"]).used == ("audio", "vision")

    service.revoke(user, "audio")

    after = service.predict(input=arrays, user=user)
    assert (after.used, after.refused) == (("text", "vision"), ("audio",))
    assert service.predict(input=arrays, user="a new person").refused == ()


def test_training_and_measuring(service: Workspace) -> None:
    info, people = service.data_info(), service.subjects()
    assert info.subjects == len(people)

    trained = service.train(core="none", settings={"heads.width": 200}, seed=5)

    assert (trained.core, trained.width) == ("none", 200)
    found = service.evaluate(split="valid")
    assert found.model == trained.model
    assert len(found.rows) == 7


WRONG = {
    "an unknown user": (lambda s: s.revoke("nobody", "audio"), NotFoundError),
    "a number for a user": (lambda s: s.revoke(7, "audio"), UsageError),
    "no modality": (lambda s: s.revoke("1"), UsageError),
    "an unknown method": (lambda s: s.revoke("1", "audio", method="magic"), UsageError),
    "an epsilon of 0": (lambda s: s.revoke("1", "audio", epsilon=0.0), UsageError),
    "a delta of NaN": (lambda s: s.revoke("1", "audio", delta=float("nan")), UsageError),
    "a delta that promises nothing": (lambda s: s.revoke("1", "audio", delta=0.5), UsageError),
    "an unknown core": (lambda s: s.train(core="best"), UsageError),
    "an unknown setting": (lambda s: s.train(settings={"heads.depth": 3}), UsageError),
    "nothing to predict from": (lambda s: s.predict(), UsageError),
    "an input of nobody": (lambda s: s.predict(input={}), UsageError),
    "an unknown channel": (lambda s: s.predict(input={"smell": np.ones(3)}, user="1"), DataError),
    "another width": (lambda s: s.predict(input={"audio": np.ones(3)}, user="1"), DataError),
    "no file": (lambda s: s.verify("nothing.json"), UsageError),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_of_our_errors(service: Workspace, what: str) -> None:
    call, kind = WRONG[what]
    with pytest.raises(kind) as error:
        call(service)
    assert isinstance(error.value, MbdError)
    assert error.value.code


def test_where_there_is_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as error:
        Workspace.open(tmp_path)
    assert error.value.code == "workspace.not_found"
    made = Workspace.init(tmp_path / "made", issuer="Example Clinic")
    assert made.root == Workspace(tmp_path / "made").root
    assert 'issuer = "Example Clinic"' in (made.root / "mbd.toml").read_text()


def test_every_method_names_its_command() -> None:
    methods = {
        name: method
        for name, method in inspect.getmembers(Workspace, inspect.isroutine)
        if not name.startswith("_") and name != "open"
    }
    for name, method in methods.items():
        text = str(inspect.getdoc(method))
        assert "`mbd " in text, name
        word = text.partition("`mbd ")[2].partition("`")[0].split()[0]
        assert main.get_command(None, word) is not None, name  # type: ignore[arg-type]


def test_all_that_is_promised_is_there() -> None:
    for name in mbd.__all__:
        assert getattr(mbd, name) is not None
    with pytest.raises(AttributeError):
        _ = mbd.Nothing


@pytest.mark.parametrize("program", ["import mbd", "from mbd import Workspace, MbdError"])
def test_importing_loads_nothing_heavy(program: str) -> None:
    watch = f"import sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; {watch}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
