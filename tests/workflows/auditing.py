"""What an auditor does: a read-only copy of a workspace without secrets, and `mbd verify`."""

from __future__ import annotations

import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mbd.canonical.digest import sha256_hex
from tests.conftest import SERVICE, STATE
from tests.workspaces import TrainedWorkspace, describe, must_run, run_mbd

PRIVATE = ("keys", "secrets.db", "receipts", "staging", ".lock", "mbd.toml", "trust.toml")
"""What no auditor gets with the data."""

COUNT = 21
"""Number of the check."""


@dataclass(frozen=True)
class Revoked:
    """A workspace in which somebody revoked a channel, and the papers of that."""

    workspace: TrainedWorkspace
    user: str
    bundle: Path
    receipt: Path

    @property
    def root(self) -> Path:
        return self.workspace.root

    @property
    def outside(self) -> Path:
        """A folder beside the workspace: the auditor's."""
        return self.root.parent


@dataclass(frozen=True)
class Verdict:
    """What `mbd verify --reproduce` said."""

    exit_code: int
    code: str
    result: str
    reason: str
    level: str


def revoke(
    workspace: TrainedWorkspace,
    user: str,
    *options: str,
    modality: str = "audio",
) -> Revoked:
    """Carry out a revocation; papers go out of the workspace, as they do in life."""
    command = ("revoke", "--user", user, "--modality", modality, *options, "--json")
    done = must_run(workspace.root, *command).json
    bundle, receipt = Path(done["bundle"]), Path(done["receipt"])
    kept = workspace.root.parent / f"receipt-{receipt.name}"
    shutil.move(receipt, kept)
    return Revoked(workspace, user, bundle, kept)


def escrow_of(revoked: Revoked) -> Path:
    """The escrow file that the operator hands out."""
    path = revoked.outside / f"escrow-{revoked.bundle.name}"
    path.write_text(must_run(revoked.root, "certificate", "escrow", str(revoked.bundle)).out)
    return path


def handed_over(revoked: Revoked, *, without: tuple[str, ...] = (), name: str = "copy") -> Path:
    """A copy that its owner cannot write, without anything private and without `without`."""
    folder = revoked.outside / name
    ignored = shutil.ignore_patterns(*PRIVATE, *without)
    shutil.copytree(revoked.root, folder, ignore=ignored)
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    return folder


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file of a folder with its digest, and when it was changed."""
    return {
        path.relative_to(folder).as_posix(): (
            sha256_hex(path.read_bytes()) if path.is_file() else "",
            path.stat().st_mtime_ns,
        )
        for path in (folder, *folder.rglob("*"))
    }


def judge(
    revoked: Revoked,
    folder: Path,
    *options: str,
    receipt: Path | None = None,
    escrow: Path | None = None,
) -> Verdict:
    """`mbd verify --reproduce` with the receipt, unless something else is given."""
    if escrow is not None:
        opening = ("--escrow", str(escrow))
    else:
        opening = ("--receipt", str(receipt or revoked.receipt))
    return verdict_of(revoked, "--reproduce", str(folder), *opening, *options)


def verdict_of(revoked: Revoked, *options: str) -> Verdict:
    """`mbd verify` of the certificate with these options."""
    trust = ("--trust", str(revoked.root / "trust.toml"), "--no-memory")
    ran = run_mbd(revoked.outside, "verify", str(revoked.bundle), *trust, *options, "--json")
    (check,) = (one for one in ran.json["checks"] if one["number"] == COUNT)
    return Verdict(
        ran.code, check["code"], check["result"], check["reason"], ran.json["levelReached"]
    )


def honest_revocation(original: Path, folder: Path) -> Revoked:
    """Somebody's voice is revoked in a copy of a trained service and its memories."""
    shutil.copytree(original / STATE, folder / STATE)
    shutil.copytree(original / SERVICE, folder / SERVICE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / STATE))
        workspace = describe(folder / SERVICE)
        return revoke(workspace, workspace.revocable[0])


def copy_of(original: Revoked, place: Path) -> Revoked:
    """The same in a fresh folder."""
    for name in (STATE, SERVICE):
        shutil.copytree(original.outside / name, place / name)
    receipt = Path(shutil.copy(original.receipt, place))
    root = place / SERVICE
    bundle = root / "certs" / original.bundle.name
    return Revoked(describe(root), original.user, bundle, receipt)


def reproduction(report: Any) -> Any:
    """Check 21 of a report."""
    return next(one for one in report.checks if one.number == COUNT)
