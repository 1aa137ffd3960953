"""CSV and Parquet: columns become records; what is empty is absent, what is wrong is named."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.data.sources import Reading, import_source
from mbd.errors import DataError, MbdError, NotFoundError

SPEC = """
task = "regression"
label = "mood"
label_range = [-3, 3]
record_id = "clip"
subject = "person"
split = { column = "part", train = "train", valid = "dev", test = "test" }
foundation = { fraction = 0.5 }

[modalities]
audio = ["a_*"]
text = ["t_1", "t_0"]
"""
HEADER = ["clip", "person", "part", "mood", "a_10", "a_2", "t_0", "t_1", "a note"]
ROWS = [
    ["c0", "ann", "train", "1.5", "10", "2", "0.5", "-1e3", 'said "hi",\nleft'],
    ["c1", "ann", "dev", "-3", "11", "3", "1", "2", ""],
    ["c2", "bob", "test", "0", "", "", "3", "4", "no voice"],
    ["c3", "bob", "train", "2", "12", "4", "5", "6", "你好"],
]


def text_of(rows, header=HEADER) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue().encode()


def load(folder, content: bytes | pa.Table, spec: str = SPEC):
    (folder / "spec.toml").write_text(spec)
    path = folder / ("clips.csv" if isinstance(content, bytes) else "clips.parquet")
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        pq.write_table(content, path)
    return import_source(Reading(path, folder / "spec.toml"))


def changed(row: int, column: str, value: str) -> bytes:
    rows = [list(one) for one in ROWS]
    rows[row][HEADER.index(column)] = value
    return text_of(rows)


def table(**columns) -> pa.Table:
    """The rows as typed columns, some of them replaced."""
    found = {}
    for index, name in enumerate(HEADER):
        cells = [row[index] or None for row in ROWS]
        number = name == "mood" or name[1] == "_"
        found[name] = pa.array(
            [None if c is None else float(c) for c in cells] if number else cells
        )
    return pa.table({**found, **columns})


@pytest.mark.parametrize("content", [text_of(ROWS), b"\xef\xbb\xbf" + text_of(ROWS), table()])
def test_rows_become_records(tmp_path, content):
    found = load(tmp_path, content)
    records = found.records

    assert records.record_ids == ("c0", "c1", "c2", "c3")
    assert records.subjects == ("ann", "ann", "bob", "bob")
    assert records.splits == ("train", "valid", "test", "train")
    assert records.labels.tolist() == [1.5, -3, 0, 2]
    assert records.x["audio"][0].tolist() == [[2, 10]]
    assert records.x["text"][0].tolist() == [[-1000, 0.5]]
    assert records.availability(2) == {"text"}
    assert [(m.width, m.max_length) for m in found.schema.modalities] == [(2, 1), (2, 1)]
    assert not found.bad_values
    assert not found.dropped


def test_the_order_of_columns_does_not_matter_to_a_glob(tmp_path):
    order = [HEADER.index(name) for name in sorted(HEADER)]
    rows = [[row[i] for i in order] for row in ROWS]

    one = load(tmp_path, text_of(ROWS)).records
    two = load(tmp_path, text_of(rows, sorted(HEADER))).records

    assert [v if v is None else v.tolist() for v in one.x["audio"]] == [
        v if v is None else v.tolist() for v in two.x["audio"]
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [("", "a_2 is empty"), ("loud", "a_2 is 'loud'"), ("nan", "finite"), ("-inf", "finite"),
     ("1e300", "finite"), ("1_0", "1_0"), ("0x1", "0x1")],
)  # fmt: skip
def test_a_bad_cell_makes_that_modality_absent_and_nothing_else(tmp_path, value, words):
    found = load(tmp_path, changed(1, "a_2", value))

    assert [(b.record, b.modality) for b in found.bad_values] == [("c1", "audio")]
    assert words in found.bad_values[0].reason
    assert found.records.availability(1) == {"text"}
    assert len(found.records) == 4


def test_numbers_may_have_spaces_around_them(tmp_path):
    found = load(tmp_path, changed(1, "a_2", " +3.25 "))

    assert found.records.x["audio"][1].tolist() == [[3.25, 11]]


def test_what_cannot_be_a_record_is_dropped_with_a_reason(tmp_path):
    rows = [list(row) for row in ROWS]
    rows[0][3] = ""
    rows[1][2] = ""
    rows[2][6] = rows[2][7] = ""

    found = load(tmp_path, text_of(rows))

    assert {d.record: d.reason for d in found.dropped} == {
        "c0": "no label",
        "c1": "its split value is neither train, valid nor test",
        "c2": "no modality left",
    }


@pytest.mark.parametrize("values", [["true", "false", "TRUE", "1"], [True, False, True, True]])
def test_a_column_may_say_what_is_present(tmp_path, values):
    content = table(there=pa.array(values))
    if isinstance(values[0], str):
        rows = [[*row, flag] for row, flag in zip(ROWS, values, strict=True)]
        content = text_of(rows, [*HEADER, "there"])

    found = load(tmp_path, content, SPEC + '[present]\ntext = "there"\n')

    assert found.records.availability(1) == {"audio"}
    assert found.records.availability(0) == {"audio", "text"}


CLASSES = SPEC.replace("regression", "classification").replace(
    "label_range = [-3, 3]", 'classes = ["low", "mid", "high"]'
)


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [(["low", "high", "mid", "low"], [0, 2, 1, 0]), (["0", "2", "1", "0"], [0, 2, 1, 0])],
)
def test_classes_are_names_or_indices(tmp_path, labels, wanted):
    rows = [[*row[:3], label, *row[4:]] for row, label in zip(ROWS, labels, strict=True)]

    assert load(tmp_path, text_of(rows), CLASSES).records.labels.tolist() == wanted
    typed = table(mood=pa.array(labels).dictionary_encode())
    assert load(tmp_path, typed, CLASSES).records.labels.tolist() == wanted


def test_a_class_named_like_a_number_is_a_name(tmp_path):
    rows = [[*row[:3], label, *row[4:]] for row, label in zip(ROWS, "1231", strict=True)]
    spec = CLASSES.replace('["low", "mid", "high"]', '["1", "2", "3"]')

    assert load(tmp_path, text_of(rows), spec).records.labels.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("content", "spec", "field", "words"),
    [
        (changed(1, "mood", "happy"), SPEC, "label", "'c1'.*'happy'"),
        (changed(1, "mood", "4"), SPEC, "label", "'c1'.*4"),
        (changed(1, "mood", "happy"), CLASSES, "label", "'c0'.*classes"),
        (changed(1, "clip", "c0"), SPEC, "record_id", "'c0'.*2 times"),
        (changed(1, "clip", ""), SPEC, "record_id", "row 2"),
        (changed(1, "person", ""), SPEC, "subject", "'c1'"),
        (text_of(ROWS).replace(b"c1,ann,", b"c1,"), SPEC, "SRC", "8 cells where .* 9"),
        (text_of(ROWS).replace(b"a_10", b"a_2"), SPEC, "SRC", "'a_2' appears twice"),
        (text_of(ROWS) + b'"open\n', SPEC, "SRC", "quotation"),
        (text_of(ROWS).replace(b"ann", b"\xff"), SPEC, "SRC", "UTF"),
        (text_of(ROWS) + b"c9,\xe7\n", SPEC, "SRC", "UTF"),
        (b"", SPEC, "SRC", "empty"),
        (b"\n", SPEC, "SRC", "empty"),
        (text_of([]), SPEC, "record_id", "no record"),
        (text_of(ROWS), SPEC.replace("a_*", "b_*"), "modalities.audio", "no column 'b_"),
        (text_of(ROWS), SPEC.replace('"clip"', '"clap"'), "record_id", "no column 'clap'"),
        (text_of(ROWS), SPEC.replace('["a_*"]', '["a note"]'), "modalities.audio", "no number"),
        (text_of(ROWS), SPEC + '[lengths]\naudio = "a_2"\n', "lengths.audio", "one step"),
        (text_of(ROWS), SPEC + '[present]\naudio = "person"\n', "present.audio", "'c0'"),
        (text_of(ROWS), SPEC.replace('subject = "person"',
         'subject = { index = "a_2", names = "person" }'), "subject", "column"),
        (table(a_2=pa.array([[1.0]] * 4)), SPEC, "modalities.audio", "type list"),
        (table(clip=pa.array([1.5] * 4)), SPEC, "record_id", "type double"),
    ],
)  # fmt: skip
def test_wrong_tables_are_refused_by_name(tmp_path, content, spec, field, words):
    with pytest.raises(DataError, match=words) as refused:
        load(tmp_path, content, spec)

    assert refused.value.field == field


def test_other_files_are_refused(tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / "a.parquet").write_bytes(b"PAR1nonsense")

    with pytest.raises(DataError, match="cannot be read"):
        import_source(Reading(tmp_path / "a.parquet", tmp_path / "spec.toml"))
    with pytest.raises(NotFoundError):
        import_source(Reading(tmp_path / "b.csv", tmp_path / "spec.toml"))


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1,
                       max_size=8), notes=st.lists(cells, min_size=8, max_size=8))  # fmt: skip
def test_numbers_come_back_exactly_whatever_stands_beside_them(tmp_path_factory, values, notes):
    rows = [
        [f"c{i}", f"p{i}", "train", "0", repr(value), "1", "2", "3", note]
        for i, (value, note) in enumerate(zip(values, notes, strict=False))
    ]

    found = load(tmp_path_factory.mktemp("csv"), text_of(rows))

    assert [float(value[0, 1]) for value in found.records.x["audio"]] == values


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.lists(cells, min_size=7, max_size=9), min_size=1, max_size=5))
def test_any_cells_are_taken_or_refused_with_a_place(tmp_path_factory, rows):
    try:
        found = load(tmp_path_factory.mktemp("csv"), text_of(rows))
    except MbdError as error:
        assert error.field  # noqa: PT017
    else:
        for column in found.records.x.values():
            assert all(v is None or np.isfinite(v).all() for v in column)
        assert all(map(math.isfinite, found.records.labels))


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=80), keep=st.integers(0, 200))
def test_any_bytes_are_taken_or_refused_with_a_place(tmp_path_factory, content, keep):
    try:
        load(tmp_path_factory.mktemp("csv"), text_of(ROWS)[:keep] + content)
    except MbdError as error:
        assert error.field  # noqa: PT017
