"""Beside the base level: ARTIFACTS (check 19) and SUBJECT (check 20).

What this version cannot evaluate is listed too (checks 17, 18 and 21): it counts as skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

from mbd.canonical.digest import sha256_file
from mbd.certificate.receipt import open_commitments, parse_receipt
from mbd.errors import NotFoundError
from mbd.verify.case import Case, CheckFailed, Undecided


def artifacts(case: Case) -> str:
    """19. The folder holds the files of the manifest: none missing, added or changed."""
    stated = {
        file.path: file.sha256 for file in case.statement.predicate.deletion.model_after.files
    }
    if case.model_dir is None:
        raise Undecided("no model was given", code="model.missing")
    found = _files(case.model_dir)
    for path in sorted(stated.keys() - found):
        raise CheckFailed(f"{path} is missing", code="artifact.missing")
    for path in sorted(found - stated.keys()):
        raise CheckFailed(f"{path} is not in the manifest", code="artifact.extra")
    for path, digest in stated.items():
        if _digest(case.model_dir / path) != digest:
            raise CheckFailed(f"{path} has other content", code="artifact.changed")
    return f"{len(stated)} files"


def subject(case: Case) -> str:
    """20. The receipt opens the commitments to the subject and to the four digests."""
    if case.receipt is None:
        raise Undecided("no receipt was given", code="receipt.missing")
    receipt = parse_receipt(case.receipt)
    open_commitments(receipt, case.statement.predicate)
    return f"about {receipt.subject}"


def not_evaluated(case: Case) -> str:
    """17, 18, 21. Consistency with an earlier visit, witnesses, and rebuilding the state."""
    raise Undecided("not evaluated by this version", code="not_evaluated")


def _files(folder: Path) -> set[str]:
    """Relative paths of everything that is not a folder; links are not followed."""
    return {
        (Path(parent) / name).relative_to(folder).as_posix()
        for parent, folders, files in os.walk(folder)
        for name in [*files, *(one for one in folders if (Path(parent) / one).is_symlink())]
    }


def _digest(path: Path) -> str | None:
    """SHA-256 of a regular file; None for a link or anything else, which holds no content."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return sha256_file(path)
    except NotFoundError:
        return None
