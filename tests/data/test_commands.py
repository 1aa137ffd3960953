"""`mbd data ...` in a workspace: JSON fields, exit codes, nothing lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from mbd.cli.main import invoke
from mbd.database import suppressions
from mbd.database.batches import Batches
from mbd.database.journal import Journal, Request
from mbd.workflows.opening import open_session
from mbd.workspace.layout import open_workspace
from tests.shared import shared_path


@pytest.fixture
def mbd(tmp_path, monkeypatch, capsys):
    """Runs a command in a fresh workspace; gives exit code and JSON document."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("MBD_WORKSPACE", str(tmp_path / "service"))

    def run(*arguments: object) -> tuple[int, dict]:
        code = invoke([*map(str, arguments), "--json"])
        return code, json.loads(capsys.readouterr().out)

    assert run("init", tmp_path / "service")[0] == 0
    return run


def test_synth_says_what_it_made(mbd):
    code, made = mbd("data", "synth", "--users", 50, "--records", 200, "--seed", 0)
    _, info = mbd("data", "info")

    assert code == 0
    assert (made["records"], made["subjects"], made["droppedCount"]) == (200, 50, 0)
    assert [m["name"] for m in made["modalities"]] == ["audio", "text", "vision"]
    assert sum(made["cohorts"].values()) == 50
    assert all(info[name] == made[name] for name in info if name != "schema")
    assert info["schema"] == "urn:mbd:cli:data-info:v1"


def test_subjects_are_listed_by_cohort_and_modality(mbd):
    mbd("data", "synth", "--users", 20, "--records", 60)
    _, everybody = mbd("data", "subjects")
    _, some = mbd("data", "subjects", "--cohort", "foundation", "--modality", "audio")

    assert [one["user"] for one in everybody["subjects"]] == [str(i) for i in range(20)]
    assert set(everybody["subjects"][0]) == {"user", "cohort", "available", "records"}
    wanted = [s for s in everybody["subjects"]
              if s["cohort"] == "foundation" and "audio" in s["available"]]  # fmt: skip
    assert some["subjects"] == wanted
    assert mbd("data", "subjects", "--modality", "smell")[0] == 4
    assert mbd("data", "subjects", "--cohort", "friends")[0] == 2


def test_show_is_everything_on_one_person(mbd):
    mbd("data", "synth", "--users", 20, "--records", 60)
    _, shown = mbd("data", "show", "--user", 7)

    assert len(shown["records"]) == 3
    assert shown["revoked"] == shown["models"] == []
    code, refused = mbd("data", "show", "--user", "nobody")
    assert code == refused["error"]["exitCode"] == 4


def test_an_import_does_not_take_what_was_revoked(mbd, tmp_path):
    np.savez(
        tmp_path / "a.npz", id=np.array(["a", "b"]), who=np.array(["ann", "bob"]),
        part=np.array([0, 0]), y=np.zeros(2), voice=np.ones((2, 3)), words=np.ones((2, 2)),
    )  # fmt: skip
    (tmp_path / "a.toml").write_text(
        'task = "regression"\nlabel = "y"\nlabel_range = [-1, 1]\nrecord_id = "id"\n'
        'subject = "who"\nsplit = { array = "part", train = 0, valid = 1, test = 2 }\n'
        '[modalities]\naudio = "voice"\ntext = "words"\n'
    )
    with (
        open_session(open_workspace(tmp_path / "service"), write=True) as session,
        session.database.transaction() as connection,
    ):
        request = Request(request_id="one", fingerprint="1", received_at="-", due_by="-")
        Batches(connection).begin("b1", {}, [request])
        suppressions.add(connection, session.key, "ann", "audio", datetime.now(UTC), "one")
        Journal(connection).cancel("one", datetime.now(UTC))

    code, taken = mbd("data", "import", tmp_path / "a.npz", "--spec", tmp_path / "a.toml")

    assert (code, taken["records"], taken["suppressed"]) == (0, 2, 1)
    _, ann = mbd("data", "show", "--user", "ann")
    assert ann["revoked"] == ["audio"]
    assert ann["records"][0]["available"] == ["text"]
    assert mbd("data", "import", tmp_path / "a.npz", "--spec", tmp_path / "a.toml")[0] == 6


def test_dropped_records_are_reported_with_reasons(mbd):
    source, spec = shared_path("data/mosi_utt.npz"), shared_path("data/mosi.toml")

    code, taken = mbd("data", "import", source, "--spec", spec)

    assert (code, taken["records"], taken["droppedCount"]) == (0, 2195, 4)
    assert all(drop["record"] and drop["reason"] == "no label" for drop in taken["dropped"])


def test_an_empty_workspace_says_what_to_do(mbd):
    code, refused = mbd("data", "info")

    assert code == 4
    assert "mbd data import" in refused["error"]["hint"]


def test_a_bad_import_leaves_the_workspace_empty(mbd, tmp_path):
    (tmp_path / "a.toml").write_text("colour = 1\n")
    (tmp_path / "a.npz").write_bytes(b"nonsense")

    code, refused = mbd("data", "import", tmp_path / "a.npz", "--spec", tmp_path / "a.toml")

    assert (code, refused["error"]["code"]) == (1, "spec.unknown_key")
    assert mbd("data", "info")[0] == 4
