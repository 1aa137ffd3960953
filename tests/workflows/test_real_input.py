"""The whole path on real data sets, where they are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shared import shared_path
from tests.workspaces import describe, must_run


@pytest.mark.parametrize(
    ("name", "features", "records", "metric", "worst"),
    [("mosi", "mosi_utt", 2195, "mae", 1.2), ("ravdess", "ravdess_av", 1440, "accuracy", 0.75)],
)
def test_import_train_revoke_verify(
    tmp_path: Path, name: str, features: str, records: int, metric: str, worst: float
) -> None:
    """The model is useful, and its certificate holds."""
    source, spec = shared_path(f"data/{features}.npz"), shared_path(f"data/{name}.toml")
    must_run(tmp_path, "init", "service")
    root = tmp_path / "service"
    taken = must_run(root, "data", "import", str(source), "--spec", str(spec), "--json").json
    assert taken["records"] == records
    must_run(root, "train", "--core", "none", "--set", "heads.width=768")
    rows = must_run(root, "eval", "--cohort", "revocable", "--json").json["rows"]
    complete = rows[-1]
    assert len(complete["available"]) == 2
    found, constant = complete["metrics"][metric], complete["baseline"][metric]
    assert found < worst < constant if metric == "mae" else found > worst > constant

    user = describe(root, modalities=2).revocable[0]
    done = must_run(root, "revoke", "--user", user, "--modality", "audio", "--json").json

    assert done["class"] == "certified"
    assert done["heads"] == [head for head in _heads(rows) if "audio" in head.split("+")]
    must_run(root, "verify", done["bundle"], "--receipt", done["receipt"])
    assert must_run(root, "state", "check", "--json").json["ok"]


def _heads(rows: list[dict[str, list[str]]]) -> list[str]:
    return sorted("+".join(row["available"]) for row in rows)
