"""Importing arrays: what is read, what is absent, what is refused by name."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from mbd.data.npz import Imported, import_npz
from mbd.data.spec import load_spec, parse_spec
from mbd.errors import DataError, NotFoundError

SPEC = """
task = "regression"
label = "score"
label_range = [-3, 3]
record_id = "id"
subject = { index = "who", names = "people" }
split = { array = "part", train = 0, valid = 1, test = 2 }
foundation = { fraction = 0.5, seed = 0 }

[modalities]
audio = ["frames"]
text = ["words", "lexicon"]

[lengths]
audio = "steps"

[present]
text = "has_text"
"""


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "id": np.array([f"clip{i}" for i in range(8)]),
        "who": np.array([0, 0, 1, 1, 2, 2, 0, 1], np.int16),
        "people": np.array(["ann", "bob", "cy"]),
        "part": np.array([0, 1, 2, 0, 1, 2, 0, 0], np.int8),
        "score": rng.uniform(-3, 3, 8).astype(np.float32),
        "frames": rng.standard_normal((8, 5, 3)),
        "steps": np.array([5, 4, 3, 2, 1, 5, 5, 5]),
        "words": rng.standard_normal((8, 4)).astype(np.float16),
        "lexicon": rng.standard_normal(8).astype(np.float32),
        "has_text": np.ones(8, bool),
    }


def load(folder: Path, spec: str = SPEC, **changed: np.ndarray | None) -> Imported:
    found = {name: value for name, value in {**arrays(), **changed}.items() if value is not None}
    np.savez(folder / "clips.npz", **found)
    return import_npz(folder / "clips.npz", parse_spec(spec.encode()))


def changed(name: str, where: object, value: object) -> dict[str, np.ndarray]:
    array = arrays()[name]
    array[where] = value
    return {name: array}


def test_arrays_become_records(tmp_path):
    found = load(tmp_path)
    records, given = found.records, arrays()

    assert records.record_ids == tuple(f"clip{i}" for i in range(8))
    assert records.subjects == ("ann", "ann", "bob", "bob", "cy", "cy", "ann", "bob")
    assert records.splits[:3] == ("train", "valid", "test")
    assert np.array_equal(records.labels, given["score"])
    assert [value.shape for value in records.x["audio"]] == [(n, 3) for n in given["steps"]]
    joined = np.concatenate([given["words"][2], given["lexicon"][2:3]])
    assert np.array_equal(records.x["text"][2], joined[None, :].astype(np.float32))
    assert [(m.name, m.width, m.max_length) for m in found.schema.modalities] == [
        ("audio", 3, 5),
        ("text", 5, 1),
    ]
    assert found.schema.name == "clips"
    assert not found.dropped
    assert not found.bad_values


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_bad_value_makes_that_modality_absent_and_nothing_else(tmp_path, value):
    found = load(tmp_path, **changed("frames", (1, 2, 0), value))

    assert [(b.record, b.modality) for b in found.bad_values] == [("clip1", "audio")]
    assert found.records.availability(1) == {"text"}
    assert len(found.records) == 8


def test_padding_beyond_the_length_is_never_looked_at(tmp_path):
    found = load(tmp_path, **changed("frames", (4, slice(1, None), 0), np.nan))

    assert not found.bad_values
    assert found.records.x["audio"][4].shape == (1, 3)


def test_a_value_outside_the_declared_range_is_a_bad_value(tmp_path):
    spec = SPEC + "[range]\naudio = [-100.0, 100.0]\n"
    found = load(tmp_path, spec, **changed("frames", (0, 0, 0), 101.0))

    assert "outside -100 to 100" in found.bad_values[0].reason
    assert found.schema.modality("audio").range == (-100.0, 100.0)


def test_absent_flags_and_zero_lengths_are_absence_not_faults(tmp_path):
    found = load(
        tmp_path, **changed("has_text", 3, False), **changed("steps", 2, 0),
        **changed("words", 3, np.nan),
    )  # fmt: skip

    assert found.records.availability(3) == {"audio"}
    assert found.records.availability(2) == {"text"}
    assert not found.bad_values


def test_what_cannot_be_a_record_is_dropped_with_a_reason(tmp_path):
    found = load(
        tmp_path,
        **changed("score", 0, np.nan),
        **changed("part", 1, -1),
        **changed("has_text", 2, False),
        **changed("frames", 2, np.nan),
    )

    assert {d.record: d.reason for d in found.dropped} == {
        "clip0": "no label",
        "clip1": "its split value is neither train, valid nor test",
        "clip2": "no modality left",
    }
    assert found.records.record_ids == tuple(f"clip{i}" for i in range(3, 8))


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        (changed("score", 5, 3.5), "label", "'clip5'.*3.5"),
        (changed("score", 5, np.inf), "label", "'clip5'"),
        (changed("id", 3, "clip2"), "record_id", "'clip2': appears 2 times"),
        (changed("id", 3, ""), "record_id", "printable"),
        (changed("people", 0, "a\nb"), "subject", "printable"),
        (changed("who", 2, 9), "subject.index", "outside the 3 names"),
        (changed("who", 2, -1), "subject.index", "outside the 3 names"),
        (changed("steps", 6, 9), "lengths.audio", "'clip6'.*9"),
        (changed("steps", 6, -1), "lengths.audio", "'clip6'"),
        ({"words": None}, "modalities.text", "no array 'words'"),
        ({"words": np.ones((7, 4))}, "modalities.text", r"\(7, 4\)"),
        ({"words": np.ones((8, 2, 4))}, "modalities.text", "differ in length"),
        ({"words": np.ones((8, 2, 2, 2))}, "modalities.text", "want"),
        ({"words": np.array(["x"] * 8)}, "modalities.text", "unusable"),
        ({"words": np.ones((8, 0))}, "modalities.text", "shape"),
        ({"score": np.ones((8, 2))}, "label", "one value per record"),
        ({"has_text": np.full(8, 2)}, "present.text", "true or false"),
        ({"id": np.arange(8.0)}, "record_id", "names"),
    ],
)
def test_wrong_arrays_are_refused_by_name(tmp_path, change, field, words):
    with pytest.raises(DataError, match=words) as refused:
        load(tmp_path, **change)

    assert refused.value.field == field


def classes(**changes: np.ndarray) -> str:
    return SPEC.replace("regression", "classification").replace(
        "label_range = [-3, 3]", 'classes = ["low", "middle", "high"]'
    )


def test_classes_are_indices(tmp_path):
    found = load(tmp_path, classes(), score=np.array([0, 1, 2, 0, 1, 2, 0, 1], np.int8))

    assert found.schema.task.classes == ("low", "middle", "high")
    assert found.records.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize("label", [3, -1, 0.5])
def test_a_class_that_does_not_exist_is_refused(tmp_path, label):
    with pytest.raises(DataError, match="'clip4'"):
        load(tmp_path, classes(), score=np.array([0, 1, 2, 0, label, 2, 0, 1], np.float32))


def test_a_pickle_is_refused_and_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path(tmp_path / "exploded").touch, ())

    bare = tmp_path / "bare.npz"
    bare.write_bytes(pickle.dumps(Bomb()))
    inside = tmp_path / "inside.npz"
    np.savez(inside, **{**arrays(), "words": np.array([Bomb()] * 8, dtype=object)})

    for source in (bare, inside):
        with pytest.raises(DataError, match="pickle") as refused:
            import_npz(source, parse_spec(SPEC.encode()))
        assert refused.value.code == "data.pickle"
    assert not (tmp_path / "exploded").exists()


def test_other_files_are_refused(tmp_path):
    whole = io.BytesIO()
    np.savez(whole, **arrays())
    for name, content in {
        "cut.npz": whole.getvalue()[: len(whole.getvalue()) // 2],
        "empty.npz": b"",
        "noise.npz": bytes(1000),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            import_npz(tmp_path / name, parse_spec(SPEC.encode()))
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(DataError, match="one array"):
        import_npz(tmp_path / "one.npy", parse_spec(SPEC.encode()))
    with pytest.raises(NotFoundError):
        import_npz(tmp_path / "absent.npz", parse_spec(SPEC.encode()))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (SPEC + "[colours]\nred = 1\n", "colours"),
        (SPEC.replace("seed = 0", "seeds = 0"), "foundation.seeds"),
        (SPEC.replace("names =", "name ="), "subject.name"),
        (SPEC.replace("test = 2", "test = 2, dev = 3"), "split.dev"),
        (SPEC.replace('label = "score"', ""), "label"),
        (SPEC.replace("regression", "ranking"), "task"),
        (SPEC.replace("fraction = 0.5", "fraction = 1.5"), "foundation"),
        (SPEC.replace("[-3, 3]", "[3, -3]"), None),
        (SPEC.replace("label_range = [-3, 3]", ""), None),
        (SPEC.replace('audio = "steps"', 'voice = "steps"'), None),
        (SPEC.replace('audio = ["frames"]', 'Audio = ["frames"]'), "modalities"),
        (SPEC.replace('audio = ["frames"]', "audio = []"), "modalities.audio"),
        ("task = ", "--spec"),
    ],
)
def test_wrong_specs_are_refused_by_key(text, field):
    with pytest.raises(DataError) as refused:
        parse_spec(text.encode())

    assert field is None or (refused.value.field or "").startswith(field)


def test_an_unknown_key_is_named_with_a_way_on(tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC + "[colours]\nred = 1\n")

    with pytest.raises(DataError, match="unknown key 'colours'") as refused:
        load_spec(tmp_path / "spec.toml")

    assert refused.value.code == "spec.unknown_key"
    assert "--help" in refused.value.hint


def test_derivations_and_listed_cohorts_reach_the_schema(tmp_path):
    spec = SPEC.replace("foundation = { fraction = 0.5, seed = 0 }", 'foundation = ["bob"]')
    spec += '[derived_from]\ntext = ["audio"]\nlabel = ["audio"]\n'
    found = load(tmp_path, spec)

    assert found.schema.cascade(["audio"]) == ("audio", "text")
    assert found.schema.label_derived_from == ("audio",)
    foundation = {s for s, c in zip(found.records.subjects, found.records.cohorts, strict=True)
                  if c == "foundation"}  # fmt: skip
    assert foundation == {"bob"}


def test_a_subject_in_two_cohorts_is_refused(tmp_path):
    spec = SPEC.replace(
        "foundation = { fraction = 0.5, seed = 0 }",
        'foundation = ["bob"]\ncalibration = ["ann", "bob"]',
    )

    with pytest.raises(DataError, match="'bob'"):
        load(tmp_path, spec)
