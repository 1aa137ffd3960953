"""The pickles of MMSA: what is padding, what is absent, who is who."""

from __future__ import annotations

import numpy as np
import pytest

from mbd.data.sources import Reading, import_source
from mbd.errors import DataError
from tests.data.mmsa import STEPS, WIDTHS, dumps, mmsa_set


def load(folder, content, spec: str | None = None, **overrides):
    path = folder / "clips.pkl"
    path.write_bytes(content if isinstance(content, bytes) else dumps(content))
    if spec is not None:
        (folder / "spec.toml").write_text(spec)
    return import_source(
        Reading(path, None if spec is None else folder / "spec.toml", None, overrides)
    )


@pytest.mark.parametrize("numpy", [1, 2])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("name", WIDTHS)
def test_a_set_is_read_without_a_spec(tmp_path, name, aligned, numpy):
    made = mmsa_set(name, aligned=aligned)

    found = load(tmp_path, dumps(made, numpy=numpy))

    records, parts = found.records, [made[split] for split in ("train", "valid", "test")]
    assert records.record_ids == tuple(one for part in parts for one in part["id"])
    assert records.splits == ("train",) * 6 + ("valid",) * 2 + ("test",) * 4
    assert records.subjects == tuple(one.split("$_$")[0] for one in records.record_ids)
    assert len(set(records.subjects)) == 4
    assert records.labels.tolist() == [y for p in parts for y in p["regression_labels"].tolist()]
    assert found.schema.task.label_range == (-3, 3)
    assert {m.name: m.width for m in found.schema.modalities} == WIDTHS[name]
    for modality, width in WIDTHS[name].items():
        whole = [row for part in parts for row in part[modality]]
        for value, row in zip(records.x[modality], whole, strict=True):
            length = int(np.flatnonzero(row.any(axis=1)).max()) + 1
            assert value.shape == (length, width)
            assert np.array_equal(value, row[:length])
    assert not found.dropped
    assert not found.bad_values


@pytest.mark.parametrize("value", [-np.inf, np.inf, np.nan])
def test_a_value_that_is_not_finite_makes_that_channel_missing(tmp_path, value):
    made = mmsa_set("mosi", aligned=False)
    made["valid"]["audio"][1, 0, 3] = value

    found = load(tmp_path, made)

    row = 7
    assert found.records.availability(row) == {"text", "vision"}
    assert [(b.record, b.modality) for b in found.bad_values] == [(made["valid"]["id"][1], "audio")]
    assert len(found.records) == 12


def test_a_channel_that_is_zero_throughout_was_not_there(tmp_path):
    for aligned in (True, False):
        made = mmsa_set("mosei", aligned=aligned)
        made["train"]["vision"][2] = 0

        found = load(tmp_path, made)

        assert found.records.availability(2) == {"audio", "text"}
        assert not found.bad_values


def test_lengths_beat_zeros_and_a_cut_sequence_is_as_long_as_it_is(tmp_path):
    made = mmsa_set("mosi", aligned=False)
    made["train"]["audio"][0] = 1
    made["train"]["audio_lengths"][0] = 4
    made["train"]["audio"][1] = 1
    made["train"]["audio_lengths"][1] = 400

    found = load(tmp_path, made)

    assert found.records.x["audio"][0].shape[0] == 4
    assert found.records.x["audio"][1].shape[0] == STEPS["audio"]


def test_a_spec_may_say_the_rest(tmp_path):
    spec = """
name = "sims"
label_range = [-1.0, 1.0]
label = "regression_labels_A"
foundation = ["video_1"]
[modalities]
voice = "audio"
words = "text_bert"
[derived_from]
words = ["voice"]
"""
    found = load(tmp_path, mmsa_set("sims", aligned=False), spec)

    assert found.schema.task.label_range == (-1, 1)
    assert found.schema.names == ("voice", "words")
    assert found.schema.modality("voice").max_length == STEPS["audio"]
    assert found.schema.cascade(["voice"]) == ("voice", "words")
    assert found.records.cohorts.count("foundation") == 3


def test_classes_may_be_learned_instead(tmp_path):
    spec = (
        'task = "classification"\nlabel = "classification_labels"\nclasses = ["neg", "neu", "pos"]'
    )
    found = load(tmp_path, mmsa_set("sims", aligned=True), spec)

    assert found.schema.task.classes == ("neg", "neu", "pos")


def test_the_command_line_may_choose_the_foundation(tmp_path):
    made = mmsa_set("mosi", aligned=True)
    everybody = load(tmp_path, made, 'foundation = ["-v0"]',
                     foundation={"fraction": 1.0, "seed": 3})  # fmt: skip

    assert set(everybody.records.cohorts) == {"foundation"}


def change(make):
    def changed(made):
        make(made)
        return made

    return changed


@pytest.mark.parametrize(
    ("alter", "field", "words"),
    [
        (lambda made: [1, 2], "SRC", "not a pickle of MMSA"),
        (lambda made: {"train": made["train"]}, "SRC", "valid"),
        (change(lambda made: made["test"].pop("audio")), "modalities.audio", "no array 'audio'"),
        (change(lambda made: made["test"].update(audio=np.ones((4, 9, 6)))),
         "modalities.audio", "shapes"),
        (change(lambda made: made["test"].update(audio=np.ones((3, 9, 5)))),
         "modalities.audio", "4 records"),
        (change(lambda made: made["test"].update(audio="none")), "modalities.audio", "no array"),
        (change(lambda made: made["test"].update(id=[["a", "b"]] * 4)), "record_id", "id"),
        (change(lambda made: made["test"]["id"].__setitem__(0, made["train"]["id"][0])),
         "record_id", "appears 2 times"),
        (change(lambda made: made["test"]["regression_labels"].__setitem__(1, 3.5)),
         "label", "3.5"),
        (change(lambda made: made["test"]["audio_lengths"].__setitem__(1, -1)),
         "lengths.audio", "length -1"),
        (change(lambda made: made["test"].update(audio_lengths=[1, 2])),
         "lengths.audio", "one per record"),
    ],
)  # fmt: skip
def test_another_layout_is_refused_by_name(tmp_path, alter, field, words):
    with pytest.raises(DataError, match=words) as refused:
        load(tmp_path, alter(mmsa_set("mosi", aligned=False)))

    assert refused.value.field == field
