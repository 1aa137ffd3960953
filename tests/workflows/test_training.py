"""The state depends on the stored rows and on nothing else: order, threads, batches, workspace."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mbd.data.synthetic import synthesise
from tests.workspaces import Ran, TrainedWorkspace, must_run, spawn_mbd

SPEC = """
task = "regression"
label = "label"
label_range = [-3.0, 3.0]
record_id = "record_id"
subject = "subject"
split = { array = "split", train = 0, valid = 1, test = 2 }
foundation = { fraction = 0.4, seed = 1 }

[modalities]
text = ["text"]
audio = ["audio"]

[lengths]
text = "text_steps"
audio = "audio_steps"
"""


def write_set(folder: Path, order: np.ndarray) -> None:
    """A data set with the same records in the given order."""
    records, _ = synthesise(16, 160, 1)
    arrays: dict[str, np.ndarray] = {}
    for name in ("text", "audio"):
        column = records.x[name]
        lengths = np.array([0 if value is None else len(value) for value in column])
        width = next(value.shape[1] for value in column if value is not None)
        padded = np.zeros((len(records), lengths.max(), width), np.float32)
        for index, value in enumerate(column):
            if value is not None:
                padded[index, : len(value)] = value
        arrays[name], arrays[f"{name}_steps"] = padded[order], lengths[order]
    splits = np.array([("train", "valid", "test").index(split) for split in records.splits])
    np.savez(
        folder / "set.npz",
        label=records.labels[order],
        record_id=np.array(records.record_ids)[order],
        subject=np.array(records.subjects)[order],
        split=splits[order],
        **arrays,
    )
    (folder / "spec.toml").write_text(SPEC)


def train_in(folder: Path, order: np.ndarray, threads: int, core: str) -> Ran:
    """Import and train in a workspace of its own, in a process with so many threads."""
    folder.mkdir()
    write_set(folder, order)
    must_run(folder, "init", "service")
    must_run(folder / "service", "data", "import", "../set.npz", "--spec", "../spec.toml")
    limits = "\n".join(
        f"os.environ[{name!r}] = {str(threads)!r}"
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    )
    settings = ["--set", "heads.width=256", "--set", "core.epochs=3"]
    return spawn_mbd(
        folder / "service", "train", "--core", core, *settings, "--json",
        prelude=f"import os\n{limits}",
    )  # fmt: skip


@pytest.mark.parametrize("core", ["none", pytest.param("trained", marks=pytest.mark.slow)])
def test_the_state_is_the_same_for_any_order_of_records_and_number_of_threads(
    tmp_path: Path, core: str
) -> None:
    plain = np.arange(160)
    shuffled = np.random.default_rng(7).permutation(160)
    runs = [
        train_in(tmp_path / "one", plain, 1, core),
        train_in(tmp_path / "two", shuffled, 2, core),
    ]
    assert [ran.code for ran in runs] == [0, 0], runs
    first, second = (ran.json for ran in runs)
    assert first["state"] == second["state"]
    assert first["core"] == core


def test_training_again_replaces_model_state_and_rows(trained_workspace: TrainedWorkspace) -> None:
    root, before = trained_workspace.root, trained_workspace.session().find_model()
    must_run(root, "train", "--core", "none", "--set", "heads.width=160")
    assert before is not None
    assert not before.folder.exists()
    for parent in ("models", "state", "data/prepared"):
        assert len(list((root / parent).iterdir())) == 1, parent
    assert must_run(root, "state", "check", "--json").json["ok"]


def test_the_policy_is_in_the_ledger_before_the_model_exists(
    trained_workspace: TrainedWorkspace,
) -> None:
    root = trained_workspace.root
    done = must_run(
        root, "revoke", "--user", trained_workspace.revocable[0], "--modality", "text", "--json"
    ).json
    shown = must_run(root, "ledger", "show", done["certificateId"], "--json").json
    assert shown
    entries = must_run(root, "ledger", "list", "--json").json["entries"]
    kinds = [entry["type"] for entry in entries]
    assert kinds.index("policy") < kinds.index("attempt") < kinds.index("certificate")


def test_a_width_below_the_inputs_and_too_few_planned_rows_are_refused(
    trained_workspace: TrainedWorkspace,
) -> None:
    from tests.workspaces import run_mbd

    for setting in ("heads.width=64", "heads.planned_rows=10"):
        ran = run_mbd(trained_workspace.root, "train", "--core", "none", "--set", setting, "--json")
        assert ran.code == 2
        assert json.loads(ran.out)["error"]["field"] == setting.partition("=")[0]


def test_a_policy_names_nobody(tmp_path: Path) -> None:
    """It is published with the model and in the ledger, so listed subjects stay out of it."""
    write_set(tmp_path, np.arange(160))
    spec = (tmp_path / "spec.toml").read_text()
    listed = spec.replace("{ fraction = 0.4, seed = 1 }", '["person-zero", "1", "2", "3"]')
    (tmp_path / "spec.toml").write_text(listed)
    arrays = dict(np.load(tmp_path / "set.npz"))
    renamed = np.where(arrays["subject"] == "0", "person-zero", arrays["subject"])
    np.savez(tmp_path / "set.npz", **{**arrays, "subject": renamed})
    must_run(tmp_path, "init", "service")
    root = tmp_path / "service"
    must_run(root, "data", "import", "../set.npz", "--spec", "../spec.toml")
    must_run(root, "train", "--core", "none", "--set", "heads.width=256")
    policy = next((root / "models").glob("*/policy.json")).read_bytes()
    assert b"person-zero" not in policy
    assert b"person-zero" not in (root / "ledger.db").read_bytes()
    refused = spawn_mbd(root, "revoke", "--user", "person-zero", "--modality", "audio")
    assert refused.code == 5
