"""An exported model predicts without its workspace; altered or superseded it is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mbd import (
    ConflictError,
    DataError,
    IntegrityError,
    Model,
    NotFoundError,
    RefusedError,
    UsageError,
    VersionError,
    Workspace,
)
from mbd.verify.trust import load_trust
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

Arrays = dict[str, np.ndarray]


@pytest.fixture
def service(trained_workspace: TrainedWorkspace) -> Workspace:
    return Workspace(trained_workspace.root)


@pytest.fixture
def folder(service: Workspace) -> Path:
    made = service.root.parent / "exported"
    service.save_pretrained(made)
    return made


def inputs(trained: TrainedWorkspace) -> Arrays:
    records = trained.session().store().read(subjects=[trained.revocable[0]])
    index = next(i for i in range(len(records)) if len(records.availability(i)) == 3)
    return {name: np.array(x[index]) for name, x in records.x.items()}


def test_it_predicts_what_the_workspace_predicts_without_it(
    service: Workspace, folder: Path, trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    arrays = inputs(trained_workspace)
    whole = service.predict(input=arrays, user="somebody new")
    part = service.predict(input={"text": arrays["text"]}, user="somebody new")
    model = Model.from_pretrained(folder, ledger=service)
    assert model.predict(arrays) == whole
    assert model.predict({"text": arrays["text"]}) == part
    assert model.modalities == ("audio", "text", "vision")
    assert model.task.kind == "regression"

    alone = tmp_path / "elsewhere"
    shutil.move(folder, alone)
    shutil.rmtree(service.root)
    np.savez(tmp_path / "clip.npz", **arrays)
    program = (
        "import sys, numpy\nfrom mbd import Model\n"
        "model = Model.from_pretrained(sys.argv[1], unchecked=True)\n"
        "print(repr(model.predict(dict(numpy.load(sys.argv[2]))).prediction))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(alone), str(tmp_path / "clip.npz")],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert float(done.stdout) == whole.prediction


def test_a_trained_core_goes_with_it(
    service: Workspace, trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    small = {"core.epochs": 1, "core.hidden": 4, "core.property_width": 2, "core.activations": 4}
    service.train(core="trained", settings={"heads.width": 200, **small})
    arrays = inputs(trained_workspace)
    service.save_pretrained(tmp_path / "made")

    model = Model.from_pretrained(tmp_path / "made", ledger=service)

    del arrays["vision"]
    assert model.predict(arrays) == service.predict(input=arrays, user="somebody new")
    assert model.predict(arrays).reconstructed == ("vision",)


def test_a_superseded_model_is_refused_unless_told(
    service: Workspace, folder: Path, trained_workspace: TrainedWorkspace
) -> None:
    assert Model.from_pretrained(folder, ledger=service).standing.state == "current"
    assert Model.from_pretrained(folder, ledger=service.root).standing.state == "current"

    service.revoke(trained_workspace.revocable[0], "audio")

    with pytest.raises(RefusedError) as refused:
        Model.from_pretrained(folder, ledger=service, unchecked=True)
    assert refused.value.code == "model.superseded"
    told = Model.from_pretrained(folder, ledger=service, allow_superseded=True)
    assert told.standing.state == "superseded"
    again = folder.with_name("again")
    service.save_pretrained(again)
    assert Model.from_pretrained(again, ledger=service).standing.state == "current"


def test_another_training_supersedes_too(service: Workspace, folder: Path) -> None:
    service.train(core="none", settings={"heads.width": 160}, seed=3)
    with pytest.raises(RefusedError) as refused:
        Model.from_pretrained(folder, ledger=service)
    assert refused.value.code == "model.superseded"


def test_without_a_ledger_nothing_is_known(service: Workspace, folder: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        Model.from_pretrained(folder)
    assert refused.value.code == "model.unchecked"
    assert "unchecked=True" in str(refused.value.hint)
    assert Model.from_pretrained(folder, unchecked=True).standing.state == "unknown"
    assert Model.from_pretrained(folder, allow_superseded=True).standing.state == "unknown"

    other = Workspace.init(folder.with_name("other"))
    with pytest.raises(RefusedError) as refused:
        Model.from_pretrained(folder, ledger=other)
    assert refused.value.code == "model.unchecked"


def test_certificates_say_it_without_the_workspace(
    service: Workspace, folder: Path, trained_workspace: TrainedWorkspace
) -> None:
    first, second = trained_workspace.revocable[:2]
    one = service.revoke(first, "audio").bundle
    between = folder.with_name("between")
    service.save_pretrained(between)
    two = service.revoke(second, "vision").bundle
    trust = service.root / "trust.toml"

    def state(what: Path, *certificates: str) -> str:
        return Model.from_pretrained(
            what, certificates=certificates, trust=trust, allow_superseded=True
        ).standing.state

    assert state(folder, one) == "superseded"
    assert state(between, one) == "current"
    assert state(between, two, one) == "superseded"
    after = folder.with_name("after")
    service.save_pretrained(after)
    assert state(after, one, two) == "current"
    assert state(after, one) == "unknown"  # older than the export: it says nothing
    with pytest.raises(RefusedError) as refused:
        Model.from_pretrained(folder, certificates=[one], trust=trust, unchecked=True)
    assert refused.value.code == "model.superseded"


def test_a_certificate_that_is_not_believed_says_nothing(
    service: Workspace, folder: Path, trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    certificate = service.revoke(trained_workspace.revocable[0], "audio").bundle
    with pytest.raises(UsageError):
        Model.from_pretrained(folder, certificates=[certificate])
    stranger = Workspace.init(tmp_path / "stranger").root / "trust.toml"
    assert load_trust(stranger).log is not None
    with pytest.raises(RefusedError) as refused:
        Model.from_pretrained(folder, certificates=[certificate], trust=stranger)
    assert refused.value.code == "model.unchecked"
    torn = tmp_path / "torn.json"
    torn.write_bytes(Path(certificate).read_bytes()[:-20])
    with pytest.raises(RefusedError):
        Model.from_pretrained(folder, certificates=[torn], trust=service.root / "trust.toml")


def test_nothing_in_the_folder_may_change(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) == 10  # card, manifest, policy, seven heads
    for path in files:
        content = path.read_bytes()
        for changed in (content[:-1], b"", content[:40] + b"x" + content[41:]):
            path.write_bytes(changed)
            with pytest.raises((IntegrityError, VersionError)):
                Model.from_pretrained(folder, unchecked=True)
        path.unlink()
        with pytest.raises((IntegrityError, NotFoundError)):
            Model.from_pretrained(folder, unchecked=True)
        path.write_bytes(content)
    Model.from_pretrained(folder, unchecked=True)
    (folder / "model" / "heads" / "more.safetensors").write_bytes(b"x")
    with pytest.raises(IntegrityError):
        Model.from_pretrained(folder, unchecked=True)


def test_its_files_are_those_of_the_certificate(
    service: Workspace, folder: Path, trained_workspace: TrainedWorkspace
) -> None:
    done = service.revoke(trained_workspace.revocable[0], "audio")
    after = folder.with_name("after")
    service.save_pretrained(after)

    assert service.verify(done.bundle, model=after / "model", require="ARTIFACTS").exit_code == 0
    assert service.verify(done.bundle, model=folder / "model").exit_code == 1


def test_the_card_says_what_it_is_and_names_nobody(
    service: Workspace, folder: Path, trained_workspace: TrainedWorkspace
) -> None:
    user = trained_workspace.revocable[0]
    done = service.revoke(user, "audio")
    target = folder.with_name("measured")
    must_run(service.root, "model", "export", str(target), "--evaluate")
    card = (target / "README.md").read_text("utf-8")

    assert done.certificate_id in card
    assert "audio+text+vision" in card
    assert "## Limits" in card
    assert "revocable" in card
    held = trained_workspace.session().store().read()
    text = "".join(path.read_text("latin-1") for path in target.rglob("*") if path.is_file())
    assert not any(record in text for record in held.record_ids)
    assert "It was not measured" in (folder / "README.md").read_text("utf-8")


def test_the_command(service: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "made"
    found = must_run(service.root, "model", "export", str(target), "--json").json
    assert found["schema"] == "urn:mbd:cli:model-export:v1"
    assert set(found["files"]) == {
        path.relative_to(target / "model").as_posix()
        for path in (target / "model").rglob("*")
        if path.is_file()
    }
    again = run_mbd(service.root, "model", "export", str(target), "--json")
    assert (again.code, again.json["error"]["code"]) == (6, "model.exists")
    inside = run_mbd(service.root, "model", "export", "inside", "--json")
    assert (inside.code, inside.json["error"]["field"]) == (2, "DIR")
    assert not (service.root / "inside").exists()
    empty = Workspace.init(tmp_path / "empty")
    with pytest.raises(NotFoundError):
        empty.save_pretrained(tmp_path / "nothing")
    assert not list(tmp_path.glob("*nothing*"))


def test_bad_input_is_refused(
    service: Workspace, folder: Path, tmp_path: Path, trained_workspace: TrainedWorkspace
) -> None:
    with pytest.raises(NotFoundError):
        Model.from_pretrained(tmp_path)
    with pytest.raises(ConflictError):
        service.save_pretrained(folder)
    model = Model.from_pretrained(folder, ledger=service)
    arrays = inputs(trained_workspace)
    for wrong in (
        {},
        {"smell": np.ones(3)},
        {"audio": np.ones(3)},
        {"audio": np.full_like(arrays["audio"], np.nan)},
        {"audio": np.array([["x"] * arrays["audio"].shape[1]])},
    ):
        with pytest.raises(DataError):
            model.predict(wrong)
