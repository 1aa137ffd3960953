"""The ablation looks at foundation people alone, and decides as its rule says."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from types import ModuleType

import numpy as np
import pytest

from mbd.data.synthetic import synthesise
from tests.benchmarks.scripts import BENCHMARKS, run_benchmark


@pytest.fixture
def script(monkeypatch):
    """A benchmark's module by name; its neighbours are found as when it is run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for path in BENCHMARKS.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_nobody_who_may_revoke_and_no_test_row_has_a_part_in_it(script):
    people, quality = script("ablation_people"), script("quality")
    records, schema = synthesise(20, 200, 1)

    kept = people.foundation_alone(quality.Setting(records, schema, 0, 64)).records

    known = records.where(cohort="foundation")
    allowed = {
        r for r, split in zip(known.record_ids, known.splits, strict=True) if split != "test"
    }
    assert set(kept.record_ids) == allowed
    teachers, judges = kept.where(cohort="foundation"), kept.where(cohort="revocable")
    assert len(set(judges.subjects)) >= 2
    assert not set(teachers.subjects) & set(judges.subjects)
    assert {"train", "valid"} == set(teachers.splits)
    assert {"train", "test"} == set(judges.splits)


def test_two_channels_are_cut_into_four_that_hold_the_same_and_three_are_left(script):
    people, quality = script("ablation_people"), script("quality")
    records, schema = synthesise(20, 200, 1)
    three = quality.Setting(records, schema, 0, 64)
    assert people.cut_in_two(three) is three
    infos = schema.modalities[:2]
    x = {info.name: records.x[info.name] for info in infos}
    two = dataclasses.replace(
        three,
        records=dataclasses.replace(records, x=x),
        schema=dataclasses.replace(schema, modalities=infos),
    )

    cut = people.cut_in_two(two)

    assert len(cut.schema.modalities) == len(cut.records.x) == 4
    for info in infos:
        for i, whole in enumerate(x[info.name]):
            parts = [cut.records.x[f"{info.name}_{k}"][i] for k in (1, 2)]
            assert (whole is None) == (parts[0] is None) == (parts[1] is None)
            assert whole is None or np.array_equal(np.concatenate(parts, axis=1), whole)


def test_a_part_is_needed_if_it_is_worse_without_it_by_more_than_the_seeds_differ(script):
    needed = script("ablation").needed

    def runs(without):
        return {
            "everything": [{"core": value} for value in (1.0, 2.0, 3.0)],
            "no part": [{"core": value} for value in without],
        }

    assert needed(runs([0.9, 1.8, 2.7]), "everything", "no part", "core", 1) == pytest.approx(
        (0.2, 0.1)
    )
    assert needed(runs([0.9, 1.8, 2.7]), "everything", "no part", "core", -1) == pytest.approx(
        (-0.2, 0.1)
    )


def test_without_the_data_it_says_which_file_it_wants(tmp_path):
    ended = run_benchmark("ablation", "--data", str(tmp_path), "--quick")

    assert ended.returncode == 1
    assert f"{tmp_path}/ravdess_av.npz is not here" in ended.stderr
