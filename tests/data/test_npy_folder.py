"""A folder of `.npy`: the manifest says who and where, and nothing outside is ever read."""

from __future__ import annotations

import csv
import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.data.sources import Reading, import_source
from mbd.errors import DataError, NotFoundError

SPEC = """
task = "regression"
label = "label"
label_range = [-3, 3]
record_id = "record_id"
subject = "subject"
split = { column = "split", train = "train", valid = "valid", test = "test" }

[modalities]
audio = "audio"
text = ["words", "lexicon"]
"""
HEADER = ["record_id", "subject", "split", "label", "audio", "words", "lexicon"]


def make(folder, **changed):
    """Three records of two people; `changed` replaces cells of the second."""
    clips = folder / "clips"
    (clips / "a").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for i, steps in enumerate((4, 2, 3)):
        np.save(clips / "a" / f"{i}.npy", rng.standard_normal((steps, 5)))
        np.save(clips / f"w{i}.npy", rng.standard_normal(3).astype(np.float32))
        np.save(clips / f"l{i}.npy", np.arange(2))
        row = [f"r{i}", f"s{i // 2}", "train", "0.5", f"a/{i}.npy", f"w{i}.npy", f"l{i}.npy"]
        rows.append(row)
    for column, value in changed.items():
        rows[1][HEADER.index(column)] = value
    with (clips / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([HEADER, *rows])
    (folder / "spec.toml").write_text(SPEC)
    return clips


FOUR = "[max_steps]\naudio = 4\n"


def load(clips, extra: str = FOUR):
    spec = clips.parent / "spec.toml"
    spec.write_text(SPEC + extra)
    return import_source(Reading(clips, spec))


def test_files_become_sequences(tmp_path):
    clips = make(tmp_path)

    found = load(clips)

    assert found.schema.name == "clips"
    assert [(m.name, m.width, m.max_length) for m in found.schema.modalities] == [
        ("audio", 5, 4),
        ("text", 5, 1),
    ]
    assert [value.shape for value in found.records.x["audio"]] == [(4, 5), (2, 5), (3, 5)]
    assert np.array_equal(
        found.records.x["audio"][1], np.load(clips / "a" / "1.npy").astype(np.float32)
    )
    assert found.records.x["text"][0][0, 3:].tolist() == [0, 1]


def test_an_empty_cell_or_no_step_is_absence(tmp_path):
    clips = make(tmp_path, audio="")
    np.save(clips / "a" / "2.npy", np.ones((0, 5)))

    found = load(clips)

    assert [sorted(found.records.availability(i)) for i in range(3)] == [
        ["audio", "text"], ["text"], ["text"]
    ]  # fmt: skip
    assert not found.bad_values


def test_a_bad_value_or_a_missing_half_makes_the_modality_absent(tmp_path):
    clips = make(tmp_path, lexicon="")
    np.save(clips / "a" / "0.npy", np.full((2, 5), -np.inf))

    found = load(clips)

    assert {(b.record, b.modality) for b in found.bad_values} == {("r0", "audio"), ("r1", "text")}


def test_a_longest_sequence_may_be_declared_for_what_comes_later(tmp_path):
    clips = make(tmp_path)

    assert load(clips, "[max_steps]\naudio = 9\n").schema.modality("audio").max_length == 9
    with pytest.raises(DataError, match=r"'r0'.*4 steps, more than 3"):
        load(clips, "[max_steps]\naudio = 3\n")


def test_no_persons_data_decides_how_long_a_sequence_may_be(tmp_path):
    """A model's design, which is public, begins with it."""
    clips = make(tmp_path)
    with pytest.raises(DataError, match="up to 4 steps") as refused:
        load(clips, "")
    assert refused.value.field == "max_steps.audio"
    for i in range(3):
        np.save(clips / "a" / f"{i}.npy", np.ones(5))
    assert load(clips, "").schema.modality("audio").max_length == 1


@pytest.mark.parametrize(
    "path",
    ["../secret.npy", "a/../../secret.npy", "/etc/passwd", "..", ".", "a", "link.npy", "dir/x.npy",
     "a\\..\\x.npy", "loop", "no.npy", "x" * 5000, "~/x.npy"],
)  # fmt: skip
def test_no_path_leaves_the_folder(tmp_path, path):
    np.save(tmp_path / "secret.npy", np.ones(5))
    (tmp_path / "elsewhere").mkdir()
    np.save(tmp_path / "elsewhere" / "x.npy", np.ones(5))
    clips = make(tmp_path, audio=path)
    (clips / "link.npy").symlink_to(tmp_path / "secret.npy")
    (clips / "dir").symlink_to(tmp_path / "elsewhere")
    (clips / "loop").symlink_to(clips / "loop")

    with pytest.raises(DataError, match="'r1'") as refused:
        load(clips)

    assert refused.value.field == "modalities.audio"


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(st.sampled_from(["..", "a", ".", "", "x.npy", "0.npy", "up", "clips"])))
def test_whatever_the_path_only_files_of_the_folder_are_read(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("f")
    clips = make(folder, audio="/".join(parts))
    (clips / "up").symlink_to(folder)
    np.save(folder / "x.npy", np.full((1, 5), 7.0))
    try:
        found = load(clips)
    except DataError as error:
        assert error.field == "modalities.audio"  # noqa: PT017
    else:
        assert found.records.x["audio"][1] is None or 7.0 not in found.records.x["audio"][1]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("pickled", pickle.dumps([1]), "cannot be read"),
        ("empty", b"", "cannot be read"),
        ("text", b"hello", "cannot be read"),
        ("archive", b"PK\x03\x04" + bytes(50), "cannot be read"),
        ("claims", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, "
         b"'shape': (1000000000000, 5), }".ljust(117) + b"\n", "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_array_is_refused(tmp_path, name, content, words):
    clips = make(tmp_path, audio="other.npy")
    (clips / "other.npy").write_bytes(content)

    with pytest.raises(DataError, match=f"'r1'.*{words}"):
        load(clips)


@pytest.mark.parametrize(
    "array",
    [np.ones((2, 6)), np.ones((2, 5, 1)), np.array(["x"] * 5), np.float64(3), np.ones((3, 0))],
)
def test_arrays_of_another_shape_or_kind_are_refused(tmp_path, array):
    clips = make(tmp_path, audio="other.npy")
    np.save(clips / "other.npy", array)

    with pytest.raises(DataError, match=r"'r1'.*other\.npy"):
        load(clips)


def test_an_array_of_objects_is_refused_and_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    clips = make(tmp_path, audio="other.npy")
    np.save(clips / "other.npy", np.array([Bomb()] * 5, dtype=object))

    with pytest.raises(DataError, match="pickle"):
        load(clips)
    assert not (tmp_path / "exploded").exists()


def test_parts_of_one_modality_have_the_same_steps(tmp_path):
    clips = make(tmp_path)
    np.save(clips / "w1.npy", np.ones((2, 3)))

    with pytest.raises(DataError, match=r"'r1'.*differ"):
        load(clips)


def test_a_folder_without_a_manifest_is_not_found(tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC)

    with pytest.raises(NotFoundError, match=r"manifest\.csv"):
        import_source(Reading(tmp_path, tmp_path / "spec.toml"))


def test_a_modality_that_nobody_has_is_refused(tmp_path):
    clips = make(tmp_path)
    for i in range(3):
        np.save(clips / "a" / f"{i}.npy", np.ones((0, 5)))

    with pytest.raises(DataError, match="no usable file"):
        load(clips)
