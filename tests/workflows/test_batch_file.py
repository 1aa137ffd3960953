"""Files of requests: what is asked for is read as it was written, or refused by line and reason."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbd.errors import DataError, MbdError, NotFoundError, UsageError
from mbd.workflows import batch_file
from mbd.workflows.batch_file import FileRow, read_batch
from mbd.workflows.resolve import RevocationRequest
from tests.workspaces import run_mbd

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAME = st.text("abcxyz_-é", min_size=1, max_size=6)
REQUESTS = st.lists(
    st.tuples(TEXT, st.lists(NAME, min_size=1, max_size=3), st.none() | TEXT),
    min_size=1,
    max_size=8,
)
Asked = list[tuple[str, list[str], str | None]]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def requests_of(rows: list[FileRow]) -> list[RevocationRequest]:
    """What the rows ask for; every row has to make sense."""
    found = [row.request for row in rows]
    assert all(isinstance(one, RevocationRequest) for one in found), found
    return [one for one in found if isinstance(one, RevocationRequest)]


def expected(asked: Asked) -> list[RevocationRequest]:
    return [
        RevocationRequest(subject=user, modalities=tuple(names), request_id=name)
        for user, names, name in asked
    ]


def error_of(row: FileRow) -> MbdError:
    assert isinstance(row.request, MbdError)
    return row.request


@SAME_FOLDER
@given(
    asked=REQUESTS,
    form=st.sampled_from(  # quoted as needed, a writer looks for its own line ends only
        [(csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_MINIMAL, "\r\n")]
    ),
    order=st.permutations(["user", "modality", "requestId"]),
    mark=st.booleans(),
)
def test_what_csv_quotes_is_read_as_it_was_written(
    tmp_path: Path, asked: Asked, form: tuple[Any, str], order: list[str], mark: bool
) -> None:
    stream = io.StringIO(newline="")
    table = csv.DictWriter(stream, order, quoting=form[0], lineterminator=form[1])
    table.writeheader()
    for user, names, name in asked:
        table.writerow({"user": user, "modality": "+".join(names), "requestId": name})
    content = (codecs.BOM_UTF8 if mark else b"") + stream.getvalue().encode()
    rows = read_batch(written(tmp_path, "a.csv", content))
    assert requests_of(rows) == expected(asked)
    assert [row.user for row in rows] == [user for user, _, _ in asked]


@SAME_FOLDER
@given(
    asked=REQUESTS,
    as_list=st.booleans(),
    ascii_only=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    mark=st.booleans(),
)
def test_what_json_says_is_read_as_it_was_written(
    tmp_path: Path, asked: Asked, as_list: bool, ascii_only: bool, end: str, mark: bool
) -> None:
    lines = [
        json.dumps(
            {
                "user": user,
                "modality": names if as_list else "+".join(names),
                **({} if name is None else {"requestId": name}),
            },
            ensure_ascii=ascii_only,
        )
        for user, names, name in asked
    ]
    content = (codecs.BOM_UTF8 if mark else b"") + end.join([*lines, ""]).encode()
    rows = read_batch(written(tmp_path, "a.jsonl", content))
    assert requests_of(rows) == expected(asked)


@SAME_FOLDER
@given(
    content=st.binary(max_size=200) | TEXT.map(str.encode), kind=st.sampled_from(["csv", "jsonl"])
)
def test_any_bytes_are_read_or_refused_with_a_reason(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    rows = []
    with contextlib.suppress(UsageError, DataError):
        rows = read_batch(written(tmp_path, f"a.{kind}", content))
    for row in rows:
        assert isinstance(row.request, RevocationRequest) or row.request.message


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    rows = read_batch(written(tmp_path, "a.csv", 'user,modality\n1,audio\n\n"2",text\n3\n'))
    assert [row.line for row in rows] == [2, 4, 5]
    assert "line 5" in error_of(rows[2]).message
    rows = read_batch(
        written(tmp_path, "a.jsonl", '{"user": "1", "modality": "audio"}\n\nnonsense\n')
    )
    assert [row.line for row in rows] == [1, 3]
    assert "line 3" in error_of(rows[1]).message


def test_a_file_of_another_system_is_read(tmp_path: Path) -> None:
    content = "user,modality,requestId\r\n 42 , audio + text ,\r\n".encode("utf-8-sig")
    (one,) = requests_of(read_batch(written(tmp_path, "A.CSV", content)))
    assert one == RevocationRequest(subject=" 42 ", modalities=("audio", "text"))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"modality": "audio"}', "no user"),
        ('{"user": "", "modality": "audio"}', "no user"),
        ('{"user": "1"}', "no modality"),
        ('{"user": "1", "modality": ""}', "no modality"),
        ('{"user": "1", "modality": []}', "no modality"),
        ('{"user": "1", "modality": [""]}', "no modality"),
        ('{"user": "1", "modality": "audio+"}', "no modality"),
        ('{"user": "1", "modality": " + "}', "no modality"),
        ('{"user": 1, "modality": "audio"}', "text"),
        ('{"user": null, "modality": "audio"}', "text"),
        ('{"user": ["1"], "modality": "audio"}', "text"),
        ('{"user": "1", "modality": 5}', "text"),
        ('{"user": "1", "modality": null}', "text"),
        ('{"user": "1", "modality": {"audio": 1}}', "text"),
        ('{"user": "1", "modality": [5]}', "text"),
        ('{"user": "1", "modality": "audio", "requestId": 0}', "text"),
        ('{"user": "1", "modality": "audio", "requestId": 7}', "text"),
        ('{"user": "1", "modality": "audio", "requestID": "r"}', "requestID"),
        ('{"user": "1", "modality": "audio", "user": "2"}', "user"),
        ('["1", "audio"]', "object"),
        ('"1,audio"', "object"),
        ("{", "JSON"),
        ('{"user": "1", "modality": [[["audio"]]]}', ""),
        (f'{{"user": "{"1" * (1 << 16)}", "modality": "audio"}}', ""),
    ],
)
def test_a_line_of_json_that_makes_no_sense_is_an_error_of_that_line_alone(
    tmp_path: Path, line: str, why: str
) -> None:
    good = '{"user": "good", "modality": "audio"}'
    rows = read_batch(written(tmp_path, "a.jsonl", "\n".join([good, line, good])))
    assert [isinstance(row.request, RevocationRequest) for row in rows] == [True, False, True]
    error = error_of(rows[1])
    assert isinstance(error, UsageError)
    assert "line 2" in error.message
    assert why in error.message


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("1", "1 cells"),
        ("1,audio,r,x", "4 cells"),
        (",audio,r", "no user"),
        ("1,,r", "no modality"),
        ("1,audio++text,r", "no modality"),
    ],
)
def test_a_row_that_makes_no_sense_is_an_error_of_that_row_alone(
    tmp_path: Path, row: str, why: str
) -> None:
    content = f"user,modality,requestId\n1,audio,\n{row}\n1,audio,\n"
    rows = read_batch(written(tmp_path, "a.csv", content))
    assert [isinstance(one.request, RevocationRequest) for one in rows] == [True, False, True]
    assert "line 3" in error_of(rows[1]).message
    assert why in error_of(rows[1]).message


def test_an_empty_request_id_is_none(tmp_path: Path) -> None:
    (one,) = requests_of(read_batch(written(tmp_path, "a.csv", "user,modality,requestId\n1,a,\n")))
    (two,) = requests_of(
        read_batch(written(tmp_path, "a.jsonl", '{"user":"1","modality":"a","requestId":null}'))
    )
    assert one == two == RevocationRequest(subject="1", modalities=("a",))


@pytest.mark.parametrize(
    ("name", "content", "error", "why"),
    [
        ("a.csv", b"", UsageError, "header"),
        ("a.csv", b"user,modality\n", UsageError, "no request"),
        ("a.csv", b"\n\n", UsageError, "header"),
        ("a.csv", b"user\n1\n", UsageError, "want user, modality"),
        ("a.csv", b"1,audio\n2,text\n", UsageError, "want user, modality"),
        ("a.csv", b"user,modality,colour\n1,audio,red\n", UsageError, "colour"),
        ("a.csv", b"user,modality,user\n1,audio,2\n", UsageError, "header"),
        ("a.csv", b"user;modality\n1;audio\n", UsageError, "want user, modality"),
        ("a.csv", b'user,modality\n"1,audio\n', DataError, "line"),
        ("a.csv", b'user,modality\n"1"x,audio\n', DataError, "line 2"),
        ("a.csv", b"user,modality\n" + b"1" * 200_000 + b",audio\n", DataError, "line 2"),
        ("a.csv", "user,modality\nJosé,audio\n".encode("latin-1"), DataError, "byte 17"),
        ("a.csv", "user,modality\n1,audio\n".encode("utf-16"), DataError, "not UTF-8"),
        ("a.jsonl", b"", UsageError, "no request"),
        ("a.jsonl", b"\n \n", UsageError, "no request"),
        ("a.jsonl", b'{"user": "\xff"}', DataError, "not UTF-8"),
        ("a.txt", b"user,modality\n1,audio\n", UsageError, ".jsonl"),
        ("a", b"user,modality\n1,audio\n", UsageError, ".jsonl"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_whole(
    tmp_path: Path, name: str, content: bytes, error: type[MbdError], why: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(error) as refused:
        read_batch(path)
    assert why in refused.value.message
    assert str(path) in refused.value.message
    assert refused.value.field == "--batch"


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "a.csv", b"user,modality\n1,audio\n")
    monkeypatch.setattr(batch_file, "MAX_BYTES", path.stat().st_size)
    assert len(read_batch(path)) == 1
    monkeypatch.setattr(batch_file, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(DataError, match="more than"):
        read_batch(path)


def test_no_file_and_a_folder_are_not_found(tmp_path: Path) -> None:
    (tmp_path / "b.csv").mkdir()
    for name in ("a.csv", "b.csv"):
        with pytest.raises(NotFoundError):
            read_batch(tmp_path / name)


def test_the_command_says_what_is_wrong_before_it_needs_a_workspace(tmp_path: Path) -> None:
    written(tmp_path, "a.csv", b"who,what\n1,audio\n")
    for command, code, field in (
        (["--batch", "a.csv"], 2, "--batch"),
        (["--batch", "none.csv"], 4, "--batch"),
        (["--batch", "a.csv", "--user", "1"], 2, "mbd revoke"),
        (["--batch", "a.csv", "--cancel", "r"], 2, "mbd revoke"),
        (["--batch", "a.csv", "--request-id", "r"], 2, "mbd revoke"),
        (["--user", "1"], 2, "--modality"),
        (["--modality", "audio"], 2, "--user"),
        ([], 2, "--user"),
    ):
        ran = run_mbd(tmp_path, "revoke", *command, "--json")
        assert (ran.code, ran.json["error"]["field"]) == (code, field), command
