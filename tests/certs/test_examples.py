"""The examples are what the script makes, and `mbd verify` says of each what is expected."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mbd.cli.main import invoke
from mbd.verify.codes import CODES
from tests.certs.places import CERTS, EXAMPLES, EXPECTED, options

LEVELS = {"receipt": "SUBJECT", "model": "ARTIFACTS"}
REFUSED = {name: wanted for name, wanted in EXPECTED.items() if wanted["exitCode"]}


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No trust file and no workspace lies around."""
    monkeypatch.chdir(tmp_path)
    for name in ("MBD_TRUST", "MBD_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


def check(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )


def test_everything_generated_is_what_the_script_makes_of_this_version():
    found = check(CERTS / "regenerate.py")

    assert (found.returncode, found.stderr) == (0, "")


def test_the_script_names_what_differs_and_makes_it_again(tmp_path):
    copy = tmp_path / "certs"
    shutil.copytree(CERTS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "examples/valid/exact.json").write_bytes(b"{}")
    (copy / "registry.json").unlink()
    (copy / "examples/refused/by-nobody.json").write_bytes(b"{}")

    found = check(copy / "regenerate.py")

    assert found.returncode == 1
    assert "certs/examples/valid/exact.json differs" in found.stderr
    assert "certs/registry.json is missing" in found.stderr
    assert "certs/examples/refused/by-nobody.json is not generated" in found.stderr
    subprocess.run([sys.executable, copy / "regenerate.py"], check=True, capture_output=True)
    assert check(copy / "regenerate.py").returncode == 0


@pytest.mark.parametrize("name", EXPECTED)
def test_verify_says_what_is_expected(name, capsys):
    wanted = EXPECTED[name]
    line = ["verify", EXAMPLES / wanted["file"], *options(wanted), "--no-memory", "--json"]

    code = invoke([str(part) for part in line])

    report = json.loads(capsys.readouterr().out)
    assert code == wanted["exitCode"]
    needed = {
        "SIGNED",
        "LOGGED",
        wanted.get("require"),
        *(LEVELS[n] for n in LEVELS if n in wanted),
    }
    deciding = [one["code"] for one in report["checks"] if one["result"] == "fail"] or [
        one["code"]
        for one in report["checks"]
        if one["result"] == "skipped" and one["level"] in needed
    ]
    assert (deciding or ["ok"])[0] == wanted["code"]


def test_the_valid_ones_are_of_one_log_that_a_verifier_can_remember(capsys):
    files = [str(path) for path in sorted((EXAMPLES / "valid").glob("*.json"))]
    line = ["verify", *files, "--trust", str(EXAMPLES / "trust.toml"), "--memory", "memory"]

    assert [invoke(line), invoke([*line, "--require", "CONSISTENT"])] == [0, 0]
    capsys.readouterr()


def test_there_is_one_of_each_kind_and_every_file_is_expected():
    listed = {wanted["file"] for wanted in EXPECTED.values()}
    present = {
        path.relative_to(EXAMPLES).as_posix()
        for folder in ("valid", "refused")
        for path in (EXAMPLES / folder).iterdir()
    }
    assert present <= listed
    assert len(REFUSED) >= 100
    assert {wanted["exitCode"] for wanted in REFUSED.values()} == {1, 3, 9}
    assert {wanted["code"] for wanted in REFUSED.values()} <= {*CODES, "ok"}
    kinds = ("certified", "exact", "exact-nothing-to-subtract", "exact-retrained", "empirical")
    assert all(f"valid/{kind}" in EXPECTED for kind in kinds)


def test_most_codes_of_the_required_levels_have_an_example():
    """The others cannot be met alone: another check speaks first, or a file would be too large."""
    met = {wanted["code"] for wanted in REFUSED.values()}
    families = ("json.", "bundle.", "envelope.", "statement.", "model.", "class.", "claims.",
                "scope.", "time.", "theorem.", "heads.", "claim.", "limit.", "sig.", "issuer.",
                "key.", "entry.", "leaf.", "tlog_proof.", "incl.", "log.", "ledger.")  # fmt: skip
    missing = {code for code in CODES if code.startswith(families)} - met

    assert missing <= {"claim.attempts", "claim.heads", "model.missing"}
