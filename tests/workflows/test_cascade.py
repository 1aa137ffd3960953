"""What a data set declares is derived goes along, and certificates say what really happened."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from mbd.canonical.digest import b64decode_strict
from mbd.certificate.scope import OUT_OF_SCOPE, STORES
from mbd.data.intake import take_in
from mbd.data.synthetic import synthesise
from mbd.workflows.opening import open_session
from mbd.workspace.layout import open_workspace
from tests.workspaces import TrainedWorkspace, describe, must_run


@pytest.fixture
def transcribed(tmp_path: Path) -> tuple[TrainedWorkspace, str]:
    """A workspace whose text is a transcript and whose labels were given by listening.

    Returns:
        It, and a revocable subject who is only in the test part: no row of theirs was learned.
    """
    root = tmp_path / "service"
    must_run(tmp_path, "init", str(root))
    records, schema = synthesise(24, 240, 1)
    derived = {"text": ("audio",)}
    schema = dataclasses.replace(
        schema,
        modalities=tuple(
            dataclasses.replace(info, derived_from=derived.get(info.name, ()))
            for info in schema.modalities
        ),
        label_derived_from=("audio",),
    )
    unlearned = next(
        subject
        for subject, cohort in zip(records.subjects, records.cohorts, strict=True)
        if cohort == "revocable"
    )
    splits = tuple(
        "test" if subject == unlearned else split
        for subject, split in zip(records.subjects, records.splits, strict=True)
    )
    records = dataclasses.replace(records, splits=splits)
    with open_session(open_workspace(root), write=True) as session:
        take_in(session.store_folder, session.key, records, schema)
    must_run(root, "train", "--core", "none", "--set", "heads.width=160")
    return describe(root), unlearned


def deletion_of(bundle: str) -> Any:
    payload = json.loads(Path(bundle).read_bytes())["envelope"]["payload"]
    return json.loads(b64decode_strict(payload))["predicate"]["deletion"]


def test_the_transcript_goes_with_the_voice_and_the_preview_says_so(transcribed):
    workspace, unlearned = transcribed
    root = workspace.root
    user = next(name for name in workspace.revocable if name != unlearned)
    command = ["revoke", "--user", user, "--modality", "audio"]

    preview = must_run(root, *command, "--dry-run", "--json").json
    said = must_run(root, *command, "--dry-run").out
    done = must_run(root, *command, "--json").json

    assert (preview["modalities"], preview["cascaded"]) == (["audio", "text"], ["text"])
    assert preview["stores"] == ["records", "prepared rows", "state", "model"]
    assert "text: derived from it" in said
    assert "prepared rows" in said
    held = workspace.session().store().read(subjects=[user])
    assert not any(value is not None for name in ("audio", "text") for value in held.x[name])
    deletion = deletion_of(done["bundle"])
    assert deletion["modalities"] == ["audio", "text"]
    labels = deletion["outOfScope"][-1]
    assert labels == {"what": "labels", "reason": OUT_OF_SCOPE["labels"]["declared"]}
    shown = must_run(root, "receipt", "show", done["receipt"], "--json").json
    assert {one["modality"] for one in shown["items"]} == {"audio", "text"}
    must_run(root, "data", "scan", "--receipt", done["receipt"])


def test_revoking_the_transcript_leaves_the_voice_and_says_less_of_labels(transcribed):
    workspace, unlearned = transcribed
    user = next(name for name in workspace.revocable if name != unlearned)
    command = ["revoke", "--user", user, "--modality", "text", "--json"]

    assert must_run(workspace.root, *command, "--dry-run").json["cascaded"] == []
    done = must_run(workspace.root, *command).json

    assert (
        deletion_of(done["bundle"])["outOfScope"][-1]["reason"]
        == (OUT_OF_SCOPE["labels"]["unknown"])
    )


def test_rows_that_were_not_there_are_not_said_to_be_removed(transcribed):
    workspace, unlearned = transcribed
    command = ["revoke", "--user", unlearned, "--modality", "audio", "--json"]

    preview = must_run(workspace.root, *command, "--dry-run").json
    done = must_run(workspace.root, *command).json

    rows = {one["store"]: one["action"] for one in deletion_of(done["bundle"])["stores"]}
    assert rows["prepared rows"] == STORES["prepared rows"]["none"]
    assert "prepared rows" not in preview["stores"]
    assert ("model" in rows) == ("model" in preview["stores"])
