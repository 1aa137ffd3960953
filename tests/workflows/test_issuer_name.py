"""The issuer's name: chosen at the start, bound to a key, and never half changed."""

from __future__ import annotations

import json
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SERVICE
from tests.workflows.children import KILLED, child_mbd, die_before
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

NAME = 'Praxis "Dr. Müller" \\ Wien #1 {x}'
RENAMED = "Example Clinic"


def rename(root: Path, name: str) -> None:
    """Edit `issuer` in mbd.toml, as anybody would."""
    path = root / "mbd.toml"
    lines = path.read_text("utf-8").splitlines()
    (at,) = (i for i, line in enumerate(lines) if line.startswith("issuer ="))
    lines[at] = f"issuer = {json.dumps(name, ensure_ascii=False)}"
    path.write_text("\n".join(lines) + "\n", "utf-8")


def revoke(root: Path, user: str) -> Any:
    return must_run(root, "revoke", "--user", user, "--modality", "audio", "--json").json


def issuer_of(root: Path, bundle: str, *trust: str) -> str:
    """Check 10 of a certificate that verifies: the name it was signed under."""
    found = must_run(root, "verify", bundle, "--no-memory", "--json", *trust).json["checks"][9]
    return str(found["reason"])


def test_a_name_that_was_chosen_is_in_settings_trust_file_and_export(tmp_path: Path) -> None:
    root = tmp_path / SERVICE
    made = must_run(tmp_path, "init", str(root), "--issuer", NAME, "--json").json

    assert made["issuer"] == NAME
    assert tomllib.loads((root / "mbd.toml").read_text("utf-8"))["issuer"] == NAME
    assert tomllib.loads((root / "trust.toml").read_text("utf-8"))["issuer"][0]["name"] == NAME
    assert must_run(root, "key", "export").json["issuer"] == NAME
    found = must_run(root, "doctor", "--json").json["findings"]
    assert [one["code"] for one in found] == ["data.none"]


@pytest.mark.parametrize("name", ["", " ", "Clinic ", "two\nlines", "x" * 201, "a\u202eb"])
def test_a_name_that_nobody_can_compare_is_refused_and_nothing_is_made(
    tmp_path: Path, name: str
) -> None:
    ran = run_mbd(tmp_path, "init", str(tmp_path / SERVICE), "--issuer", name, "--json")
    assert (ran.code, ran.json["error"]["field"]) == (2, "--issuer")
    assert not (tmp_path / SERVICE).exists()


def test_a_name_edited_in_the_settings_stops_a_revocation_before_anything_is_recorded(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    root, (user, *_) = trained_workspace.root, trained_workspace.revocable
    old = tomllib.loads((root / "mbd.toml").read_text("utf-8"))["issuer"]
    before = must_run(root, "ledger", "list", "--json").json
    rows = tmp_path / "requests.csv"
    rows.write_text(f"user,modality\n{user},audio\n")
    rename(root, RENAMED)

    one = ["--user", user, "--modality", "audio"]
    for asked in (one, ["--batch", str(rows)], [*one, "--method", "retrain", "--queue"]):
        ran = run_mbd(root, "revoke", *asked, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (5, "issuer.name"), ran.out
        assert "key rotate" in ran.json["error"]["hint"]
    assert must_run(root, "ledger", "list", "--json").json == before
    found = run_mbd(root, "doctor", "--json")
    assert found.code == 1
    assert [(f["code"], f["severity"]) for f in found.json["findings"]] == [
        ("issuer.name", "error")
    ]

    rename(root, old)
    assert must_run(root, "doctor", "--json").json["findings"] == []
    assert old in issuer_of(root, revoke(root, user)["bundle"])


def test_a_new_name_takes_a_new_key_and_both_names_verify(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    root, (first, second, *_) = trained_workspace.root, trained_workspace.revocable
    early = revoke(root, first)["bundle"]
    old = tomllib.loads((root / "mbd.toml").read_text("utf-8"))["issuer"]
    rename(root, RENAMED)
    must_run(root, "key", "rotate")
    late = revoke(root, second)["bundle"]

    auditor = tmp_path / "auditor"
    auditor.mkdir()
    export = must_run(root, "key", "export").json
    (auditor / "keys.json").write_text(json.dumps(export))
    said = [word for one in export["keys"] for word in ("--fingerprint", one["keyId"])]
    must_run(auditor, "trust", "add", "keys.json", *said)
    for trust in ([], ["--trust", str(auditor / "trust.toml")]):
        assert old in issuer_of(root, early, *trust)
        assert RENAMED in issuer_of(root, late, *trust)
    found = must_run(root, "doctor", "--json").json["findings"]
    assert not [one for one in found if one["code"].startswith(("issuer", "key"))]


def test_an_open_request_is_not_signed_under_a_name_that_nobody_knows(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, (user, *_) = trained_workspace.root, trained_workspace.revocable
    ask = ["revoke", "--user", user, "--modality", "audio"]
    death = partial(die_before, "mbd.workflows.papers.PAPERS", "scanned")
    assert child_mbd(root, *ask, prelude=death).code == KILLED
    rename(root, RENAMED)

    ran = run_mbd(root, "resume", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (5, "issuer.name")
    assert not list((root / "certs").iterdir())

    must_run(root, "key", "rotate")
    must_run(root, "resume")
    (bundle,) = (root / "certs").iterdir()
    assert RENAMED in issuer_of(root, str(bundle))
