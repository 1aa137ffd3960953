"""Files that ask for many revocations: CSV or JSON Lines, one request each.

CSV has a header with `user` and `modality`, and may have `requestId`. A line of JSON has the
same names; `modality` may be a list. Several modalities of one request are joined by '+'. A
row that makes no sense is an error of that row; a file that makes none is refused.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbd.canonical.json import loads_strict
from mbd.errors import DataError, MbdError, NotFoundError, UsageError
from mbd.workflows.resolve import RevocationRequest
from mbd.workspace.files import storage_errors

MAX_BYTES = 1 << 28
COLUMNS = ("user", "modality", "requestId")
_LINE_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """One request as the file has it."""

    line: int
    """From 1, the header of a CSV file included."""
    user: str
    modality: str
    request_id: str | None
    request: RevocationRequest | MbdError
    """What it asks for, or why nobody can tell."""


def read_batch(path: Path) -> list[FileRow]:
    """Every row of a file.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is neither .csv nor .jsonl, lacks a column, or has no row.
        DataError: It is not UTF-8, or too large.
    """
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path}: want a .csv or a .jsonl file", field="--batch")
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file", field="--batch")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: more than {MAX_BYTES} bytes", field="--batch")
    with storage_errors(path):
        content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start})", field="--batch") from error
    rows = list(readers[path.suffix.lower()](path, text))
    if not rows:
        raise UsageError(f"{path}: no request in it", field="--batch")
    return rows


def _csv_rows(path: Path, text: str) -> Iterator[FileRow]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        _check_header(path, header)
        for cells in reader:
            if not cells:
                continue
            found = dict(zip(header, cells, strict=False))
            wrong = None if len(cells) == len(header) else f"{len(cells)} cells"
            yield _row(reader.line_num, found, wrong)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}", field="--batch") from error


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in COLUMNS[:2] if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    if missing or unknown or len(set(header)) != len(header):
        raise UsageError(
            f"{path}: the header is {', '.join(header)[:200] or 'empty'}; "
            f"want {COLUMNS[0]}, {COLUMNS[1]} and perhaps {COLUMNS[2]}",
            field="--batch",
        )


def _json_rows(path: Path, text: str) -> Iterator[FileRow]:
    for number, line in enumerate(text.split("\n"), 1):  # `splitlines` cuts inside of strings
        if not line.strip():
            continue
        try:
            found = loads_strict(line.encode(), max_bytes=_LINE_BYTES, max_depth=3)
        except DataError as error:
            yield _row(number, {}, error.message)
            continue
        wrong = None
        if not isinstance(found, dict):
            found, wrong = {}, "not an object"
        elif unknown := [name for name in found if name not in COLUMNS]:
            wrong = f"unknown field {unknown[0][:60]!r}"
        yield _row(number, found, wrong)


def _row(line: int, found: dict[str, Any], wrong: str | None) -> FileRow:
    user, modality = found.get("user", ""), found.get("modality", "")
    request_id = None if found.get("requestId") == "" else found.get("requestId")
    names = _names(modality)
    texts = [user, *names, *([] if request_id is None else [request_id])]
    if wrong is None and not all(isinstance(text, str) for text in texts):
        wrong = "user, modality and requestId are text"
    if wrong is None and not (user and names and all(names)):
        wrong = "no user" if not user else "no modality"
    shown = modality if isinstance(modality, str) else json.dumps(modality, ensure_ascii=False)
    request: RevocationRequest | MbdError
    if wrong is not None:
        request = UsageError(f"line {line}: {wrong}", field="--batch")
    else:
        request = RevocationRequest(
            subject=user,
            modalities=tuple(names),
            request_id=request_id,
        )
    return FileRow(
        line=line,
        user=str(user),
        modality=shown,
        request_id=None if request_id is None else str(request_id),
        request=request,
    )


def _names(modality: Any) -> list[Any]:
    """What is asked for: names with '+' between them, or a list; anything else is no name."""
    if isinstance(modality, str):
        return [name.strip() for name in modality.split("+")]
    return modality if isinstance(modality, list) else [modality]
