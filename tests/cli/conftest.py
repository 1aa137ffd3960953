"""One trained workspace with one revocation, shared by tests that must not change it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mbd.canonical.digest import sha256_file
from tests.workspaces import describe, must_run

REQUEST_ID = "r-1"


@dataclass(frozen=True)
class Service:
    """A workspace in which somebody revoked their audio."""

    root: Path
    revoked: str
    """The subject who revoked."""
    revocable: tuple[str, ...]
    """Others who could."""
    foundation: tuple[str, ...]
    certificate: str
    """Id of the certificate."""
    bundle: Path
    receipt: Path


@pytest.fixture(scope="session")
def revoked_once(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """The service as it was made; use `service` or `copied`."""
    folder = tmp_path_factory.mktemp("revoked")
    shutil.copytree(original, folder, dirs_exist_ok=True)
    found = describe(folder / "service")
    subject, *others = found.revocable
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        done = must_run(
            found.root, "revoke", "--user", subject, "--modality", "audio",
            "--request-id", REQUEST_ID, "--json",
        ).json  # fmt: skip
    return Service(
        root=found.root,
        revoked=subject,
        revocable=tuple(others),
        foundation=found.foundation,
        certificate=done["certificateId"],
        bundle=Path(done["bundle"]),
        receipt=Path(done["receipt"]),
    )


@pytest.fixture
def service(revoked_once: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The shared service. Whatever a test does to it, not one byte of it may change."""
    monkeypatch.setenv("XDG_STATE_HOME", str(revoked_once.root.parent / "state"))
    before = contents(revoked_once.root.parent)
    yield revoked_once
    after = contents(revoked_once.root.parent)
    new_logs = {name for name in after.keys() - before.keys() if name.startswith("state/")}
    assert {name: after[name] for name in after.keys() - new_logs} == before
    assert must_run(revoked_once.root, "state", "check", "--json").json["equal"]


@pytest.fixture
def copied(revoked_once: Service, tmp_path: Path) -> Service:
    """A copy of the service of one's own."""
    shutil.copytree(revoked_once.root.parent, tmp_path, dirs_exist_ok=True)
    root = tmp_path / "service"
    return Service(
        root=root,
        revoked=revoked_once.revoked,
        revocable=revoked_once.revocable,
        foundation=revoked_once.foundation,
        certificate=revoked_once.certificate,
        bundle=root / revoked_once.bundle.relative_to(revoked_once.root),
        receipt=root / revoked_once.receipt.relative_to(revoked_once.root),
    )


def contents(folder: Path) -> dict[str, str]:
    """The digest of every file, but for locks and the empty logs that SQLite keeps beside."""
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_size and not path.name.endswith("-shm")
    }
