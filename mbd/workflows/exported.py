"""The folder of an exported model: what is in it, and what says so.

    README.md     the model card
    export.json   digests of everything else, and where the ledger stood
    model/        policy.json, heads, core: the files that certificates name by digest

`mbd verify CERT --model DIR/model` holds the last against a certificate. The digests find what
was altered by accident; that a model is the one of some service is shown by a certificate alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mbd.canonical.digest import files_root, sha256_hex
from mbd.canonical.json import dumps, loads_strict
from mbd.certificate.fields import Closed, Digest, Items, Moment, RelativePath, Size, Text, validate
from mbd.errors import DataError, IntegrityError, NotFoundError, VersionError
from mbd.values import FileDigest
from mbd.verify.reading import read_regular
from mbd.workflows.snapshots import ModelSnapshot, unlisted

SCHEMA = "urn:mbd:model-export:v1"
MANIFEST_FILE = "export.json"
CARD_FILE = "README.md"
MODEL_FOLDER = "model"
MAX_BYTES = 1 << 20
"""Of the manifest, and of the card."""


class _File(Closed):
    path: RelativePath
    sha256: Digest


class _Model(Closed):
    id: Text
    digest: Digest
    files: Items[_File]


class _Ledger(Closed):
    origin: Text
    size: Size
    root: Digest
    policy_entry: int


class _Form(Closed):
    type: Literal["urn:mbd:model-export:v1"]
    exported_at: Moment
    model: _Model
    ledger: _Ledger
    card: Digest


@dataclass(frozen=True, kw_only=True)
class Export:
    """An exported model, as its manifest describes it."""

    model: ModelSnapshot
    origin: str
    """Name of the log of the service that it comes from."""
    size: int
    """Entries of that log when the model was current."""
    root: str
    """The log's root (hex) at that size."""
    policy_entry: int
    exported_at: str
    card: str
    """SHA-256 (hex) of the card."""

    def to_bytes(self) -> bytes:
        """The manifest."""
        return dumps(
            {
                "type": SCHEMA,
                "exportedAt": self.exported_at,
                "model": {
                    "id": self.model.model_id,
                    "digest": self.model.digest,
                    "files": [{"path": one.path, "sha256": one.sha256} for one in self.model.files],
                },
                "ledger": {
                    "origin": self.origin,
                    "size": self.size,
                    "root": self.root,
                    "policyEntry": self.policy_entry,
                },
                "card": self.card,
            }
        )


def read_export(folder: Path) -> Export:
    """Read the manifest of an exported folder, and hold every file against it.

    Raises:
        NotFoundError: It is no such folder.
        IntegrityError: A file is missing, altered, or not part of the model.
        VersionError: A newer version wrote it.
    """
    if not (folder / MANIFEST_FILE).is_file():
        raise NotFoundError(
            f"{folder} holds no exported model: it has no {MANIFEST_FILE}",
            code="model.no_export",
            hint="`mbd model export DIR` makes one",
        )
    export = _parse(read_regular(folder / MANIFEST_FILE, MAX_BYTES), folder)
    if not (folder / CARD_FILE).is_file():
        raise _altered(folder / CARD_FILE, "it is missing")
    if sha256_hex(read_regular(folder / CARD_FILE, MAX_BYTES)) != export.card:
        raise _altered(folder / CARD_FILE, "its digest is not the one recorded")
    export.model.check()
    for path in unlisted(export.model):
        raise _altered(path, "it is not part of the model")
    return export


def _parse(content: bytes, folder: Path) -> Export:
    try:
        found = loads_strict(content, max_bytes=MAX_BYTES, max_depth=6)
        if isinstance(found, dict) and found.get("type") not in (SCHEMA, None):
            raise VersionError(f"{folder}: {str(found['type'])[:80]!r}; this reads {SCHEMA}")
        form = validate(_Form, found, code="model.export")
        files = tuple(FileDigest(path=one.path, sha256=one.sha256) for one in form.model.files)
        digest = files_root(files)
    except DataError as error:
        raise _altered(folder / MANIFEST_FILE, error.message) from error
    if digest != form.model.digest:
        raise _altered(folder / MANIFEST_FILE, "the files are not those of the model's digest")
    return Export(
        model=ModelSnapshot(form.model.id, folder / MODEL_FOLDER, files),
        origin=form.ledger.origin,
        size=form.ledger.size,
        root=form.ledger.root,
        policy_entry=form.ledger.policy_entry,
        exported_at=form.exported_at,
        card=form.card,
    )


def _altered(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path}: {why}", code="model.altered", field=path.name, hint="export the model again"
    )
