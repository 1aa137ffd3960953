"""`mbd.toml` is looked for in folders that anybody may have filled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mbd.errors import MbdError
from mbd.workspace.layout import find_workspace, open_workspace
from mbd.workspace.toml_file import MAX_BYTES, read_toml
from tests.workspaces import run_mbd

EXAMPLES = Path(__file__).parents[2] / "certs" / "examples"
HOSTILE = {
    "a dotted key without end": b".".join([b"a"] * 60_000) + b" = 1",
    "brackets without end": b"v = " + b"[" * 100_000,
    "more than settings have": b"# " + b"x" * MAX_BYTES,
    "another coding": b"\xff\xfe",
    "nothing of the kind": b"{}",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_settings_are_an_error_and_nothing_worse(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mbd.toml").write_bytes(content)

    with pytest.raises(MbdError) as caught:
        find_workspace(tmp_path)

    assert caught.value.code == "settings.invalid"
    assert str(tmp_path / "mbd.toml") in caught.value.message


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mbd.toml")

    with pytest.raises(MbdError, match="not a regular file"):
        open_workspace(tmp_path)


def test_a_sparse_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "mbd.toml"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)

    with pytest.raises(MbdError, match="larger than"):
        read_toml(path)


def test_whoever_names_a_trust_file_is_not_asked_what_settings_lie_around(tmp_path: Path) -> None:
    (tmp_path / "mbd.toml").write_bytes(HOSTILE["brackets without end"])
    certificate, trust = (str(EXAMPLES / name) for name in ("valid/certified.json", "trust.toml"))

    ran = run_mbd(tmp_path, "verify", certificate, "--trust", trust, "--no-memory")

    assert ran.code == 0, ran.err
    assert "mbd.toml" not in ran.err
