"""Any number of modalities, with any names, of any length."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.model.inference import Extractor
from mbd.model.scaling import fit_scaler
from mbd.model.snapshot import core_digest, load_core, save_core
from mbd.training.loop import train_core
from mbd.training.settings import CoreSettings
from mbd.values import ModalityInfo, Task, availability_name, nonempty_subsets

SMALL = CoreSettings(hidden=6, property_width=2, activations=8, epochs=2, batch_size=16)
NAMES = [
    ("only",),
    ("float", "forward", "keys", "type"),
    ("a", "audio_2", "b1", "training", "z" * 32),
    tuple(f"m{index}" for index in range(8)),
]


def make_records(names: tuple[str, ...], seed: int = 0) -> tuple[Records, DatasetSchema]:
    """Forty records: flat and sequence channels of widths 1 and more, some absent."""
    rng = np.random.default_rng(seed)
    infos = tuple(
        ModalityInfo(name=name, width=1 + index % 3, max_length=1 + 4 * (index % 2))
        for index, name in enumerate(sorted(names))
    )
    x = {}
    for index, info in enumerate(infos):
        gone = (rng.random(40) < 0.3) & (index > 0)
        x[info.name] = tuple(
            None
            if gone[i]
            else rng.standard_normal((rng.integers(1, info.max_length + 1), info.width)).astype(
                np.float32
            )
            for i in range(40)
        )
    records = Records(
        record_ids=tuple(f"r{i}" for i in range(40)),
        subjects=tuple(str(i % 8) for i in range(40)),
        cohorts=("foundation",) * 40,
        splits=("train",) * 40,
        labels=rng.integers(0, 3, 40).astype(np.float64),
        x=x,
    )
    task = Task(kind="classification", classes=("one", "two", "three"))
    return records, DatasetSchema(name="any", task=task, modalities=infos)


@pytest.mark.parametrize("names", NAMES, ids=len)
def test_a_core_is_trained_kept_and_serves_every_subset(names, tmp_path):
    records, schema = make_records(names)
    scaler = fit_scaler(records.x, schema.modalities, records.labels, schema.task)
    train, valid = records.select(range(30)), records.select(range(30, 40))

    core = train_core(train, valid, schema, scaler, SMALL, seed=0).core
    save_core(core, tmp_path)
    again = load_core(tmp_path)

    assert core_digest(again) == core_digest(core)
    family = list(nonempty_subsets(schema.names))
    extractor = Extractor(scaler, family, again, (0.0,) * 3)
    full = next(i for i in range(40) if records.availability(i) >= set(names[:1]))
    record = {name: column[full] for name, column in records.x.items() if column[full] is not None}
    rows = extractor.rows(record)
    assert set(rows) == {availability_name(p) for p in family if p <= record.keys()}
    for row in rows.values():
        assert np.isfinite(row.features).all()
        assert row.prediction.sum() == pytest.approx(1)


def test_names_have_no_influence():
    plain, odd = make_records(("a", "b", "c", "d")), make_records(NAMES[1])
    cores = []
    for records, schema in (plain, odd):
        scaler = fit_scaler(records.x, schema.modalities, records.labels, schema.task)
        cores.append(train_core(records, records, schema, scaler, SMALL, seed=0).core)

    for one, other in zip(cores[0].parameters(), cores[1].parameters(), strict=True):
        assert torch.equal(one, other)
