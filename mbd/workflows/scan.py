"""The scan that a receipt allows at any later time: is anything of the erased data back?"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mbd.certificate.receipt import Receipt
from mbd.data.search import Searched, Searcher
from mbd.data.traces import Traces
from mbd.database.engine import Database
from mbd.database.postgres import NOT_COVERED as SERVER_NOT_COVERED
from mbd.database.postgres import PostgresSchema
from mbd.errors import NotFoundError, UsageError
from mbd.ledger.queries import find_entry
from mbd.workspace.files import storage_errors
from mbd.workspace.layout import Workspace
from mbd.workspace.ledger_place import ledger_place
from mbd.workspace.settings import load_settings

NOT_COVERED = (
    ("receipts/", "they hold the record ids, salts and fingerprints: hand them over, delete them"),
    ("backups and copies elsewhere", "outside the workspace, out of reach from here"),
    (
        "journals, snapshots and free blocks of the file system",
        "below the files, where old bytes may stay until they are overwritten",
    ),
    ("memory and swap", "a running process may hold what it read"),
    (
        "values in another form",
        "converted to another number type, scaled, transposed, encrypted, or packed by anything "
        "but Parquet, zip, base64 and hexadecimal",
    ),
    (
        "values that somebody else's record held too, or that hardly vary",
        "they would be found where they may stay, so they have no fingerprint",
    ),
    ("record ids of fewer than 6 characters outside Parquet columns and JSON text",
     "they lie anywhere by chance"),
)  # fmt: skip
"""What a clean scan does not say, and why."""


@dataclass(frozen=True)
class Finding:
    """Something of the erased data in a file."""

    file: str
    """Relative to the workspace; or the database that is not in it."""
    kind: str
    where: str
    """Column and record, or member; empty for the bytes of the file."""


@dataclass(frozen=True)
class Scan:
    """What was searched, for what, and what was found."""

    certificate_id: str
    files: int
    size_bytes: int
    seconds: float
    values: int
    """Fingerprints of values."""
    record_ids: int
    """Ids of records that vanished."""
    salts: int
    found: tuple[Finding, ...]
    not_covered: tuple[tuple[str, str], ...]

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.found


def scan_workspace(
    workspace: Workspace,
    receipt: Receipt,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scan:
    """Search every file of a workspace, and its tables on a server, for what was erased.

    Files may come and go meanwhile; one that is gone when its turn comes holds nothing.

    Raises:
        UsageError: An excerpt: it has no fingerprints.
        NotFoundError: The certificate is not in this workspace's ledger.
        StorageError: A file cannot be read; nothing is said about the others.
    """
    if receipt.traces is None:
        raise UsageError(
            "an excerpt shows one item; a scan needs the whole receipt",
            code="receipt.excerpt",
            field="--receipt",
        )
    database = Database.open(ledger_place(workspace, load_settings(workspace)))
    _check_issued_here(database, workspace, receipt)
    started = time.perf_counter()
    traces = Traces.from_json(receipt.traces.model_dump(by_alias=True))
    salts = tuple(bytes.fromhex(one.salt) for one in receipt.items)
    searcher = Searcher(traces, receipt.traces.vanished, salts)
    not_covered = list(NOT_COVERED)
    if traces.left_out:
        some = f"{traces.left_out} of {traces.left_out + len(traces)} pieces of values"
        not_covered.append((some, "a receipt has room for so many fingerprints, evenly spread"))
    found: list[Finding] = []
    files = list(_files(workspace, not_covered))
    size = 0
    for done, path in enumerate(files):
        progress(done, len(files))
        name = path.relative_to(workspace.root).as_posix()
        with storage_errors(path):
            try:
                searched = searcher.search(path)
            except FileNotFoundError:
                continue
        size += searched.size_bytes
        found += (Finding(name, hit.kind, hit.where) for hit in searched.hits)
        if not searched.unpacked:
            not_covered.append((name, "what it packs cannot be read; its bytes were searched"))
    if isinstance(database.backend, PostgresSchema):
        for searched, one in _search_tables(searcher, database.backend):
            size += searched.size_bytes
            found += one
        not_covered += [(f"PostgreSQL: {what}", why) for what, why in SERVER_NOT_COVERED]
    return Scan(
        certificate_id=receipt.certificate_id,
        files=len(files),
        size_bytes=size,
        seconds=time.perf_counter() - started,
        values=len(traces),
        record_ids=len(receipt.traces.vanished),
        salts=len(salts),
        found=tuple(found),
        not_covered=tuple(not_covered),
    )


def _search_tables(
    searcher: Searcher, schema: PostgresSchema
) -> Iterator[tuple[Searched, list[Finding]]]:
    """The tables on a server, row by row: their files are out of reach."""
    for table, pieces in schema.contents():
        searched = searcher.search_pieces(pieces)
        yield searched, [Finding(schema.name, hit.kind, f"table {table}") for hit in searched.hits]


def _check_issued_here(database: Database, workspace: Workspace, receipt: Receipt) -> None:
    """Refuse the receipt of another workspace, whose values are of course not here."""
    with database.read() as connection:
        try:
            find_entry(connection, receipt.certificate_id)
        except NotFoundError as error:
            raise NotFoundError(
                f"certificate {receipt.certificate_id} is not in the ledger of {workspace.root}",
                code="receipt.elsewhere",
                field="--receipt",
                hint="scan the workspace that issued it (-w DIR)",
            ) from error


def _files(workspace: Workspace, not_covered: list[tuple[str, str]]) -> Iterator[Path]:
    """Every regular file but the receipts; what else lies there is added to `not_covered`."""
    for parent, folders, names in os.walk(workspace.root, onerror=_refuse):
        here = Path(parent)
        if here == workspace.root and workspace.receipts.name in folders:
            folders.remove(workspace.receipts.name)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in sorted([*names, *links]):
            path = here / name
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
            if stat.S_ISREG(mode):
                yield path
            else:
                what = "a link" if stat.S_ISLNK(mode) else "not a file"
                not_covered.append((path.relative_to(workspace.root).as_posix(), what))


def _refuse(error: OSError) -> None:
    with storage_errors(Path(str(error.filename))):
        raise error
