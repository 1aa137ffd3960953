"""A model that cannot be read says nothing of a certificate; one that never ends is not read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.verify import test_artifacts as model
from tests.verify.test_codes import unprivileged


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("name", ["policy.json", "heads/audio.safetensors", "heads", "."])
def test_a_file_or_folder_that_may_not_be_read_accuses_nobody(open_to_all: Path, name: str) -> None:
    world, folder = model.issued(open_to_all, model.files())
    (folder / name).chmod(0)
    with unprivileged():
        report = model.judge((world, folder))
    (folder / name).chmod(0o755)

    found = report.checks[18]
    assert (found.result, report.exit_code) == ("skipped", 3), found
    assert found.code == "storage" or name == "."


def test_a_disk_that_fails_accuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = model.issued(tmp_path, model.files())

    def failing(path: Path) -> Callable[..., object]:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("mbd.verify.artifacts.read_head", failing)
    report = model.judge(made)

    assert (report.checks[18].code, report.exit_code) == ("storage", 3)
    assert "Input/output error" in report.checks[18].reason


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["policy.json", "heads/audio.safetensors"])
def test_a_sparse_file_is_not_read_to_its_end(tmp_path: Path, name: str) -> None:
    world, folder = model.issued(tmp_path, model.files())
    os.truncate(folder / name, 1 << 42)

    report = model.judge((world, folder))

    assert (report.checks[18].code, report.exit_code) == ("artifact.changed", 1)
