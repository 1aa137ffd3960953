"""Real data sets by their specs, where they are at hand."""

from __future__ import annotations

import pytest

from mbd.data.npz import import_npz
from mbd.data.spec import load_spec
from mbd.data.store import Store
from tests.data.build import KEY, same
from tests.shared import shared_path

KNOWN = {
    "mosi": ("mosi_utt", 2195, 4, {"audio": 73, "text": 312}, 1),
    "ravdess": ("ravdess_av", 1440, 0, {"audio": 60, "vision": 35}, 8),
    "meld": ("meld_text_audio", 13708, 0, {"audio": 13, "text": 312}, 3),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_real_set_is_imported_and_held(tmp_path, name):
    archive, records, dropped, widths, outputs = KNOWN[name]
    source = shared_path(f"data/{archive}.npz")

    found = import_npz(source, load_spec(shared_path(f"data/{name}.toml")))
    store = Store.create(tmp_path / "store", found.schema, found.records, KEY)

    assert len(found.records) == records
    assert len(found.dropped) == dropped
    assert not found.bad_values
    assert {m.name: m.width for m in found.schema.modalities} == widths
    assert found.schema.task.outputs == outputs
    assert set(found.records.cohorts) == {"foundation", "revocable"}
    assert same(store.read(), found.records)
