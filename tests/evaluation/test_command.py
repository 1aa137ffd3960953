"""`mbd eval` on a workspace: it uses no revoked channel, writes nothing, and tells everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mbd.evaluation.conditions import PROTOCOLS
from tests.cli.conftest import contents
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

COUNTS = {"subsets": 7, "random": 10, "whole": 8, "imbalanced": 16, "corrupt": 40}
ROW = {
    "protocol", "series", "rate", "rates", "available", "n", "missing", "metrics", "baseline",
    "intervals", "maskDigest",
}  # fmt: skip


def ask(root: Path, *options: str) -> Any:
    return must_run(root, "eval", *options, "--json").json


def test_all_protocols_in_one_run_and_nothing_in_the_workspace_changes(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    before = contents(trained_workspace.root)
    html = tmp_path / "report.html"
    found = ask(trained_workspace.root, "--protocol", "all", "--html", str(html))

    assert {name: len([r for r in found["rows"] if r["protocol"] == name]) for name in COUNTS} == (
        COUNTS
    )
    assert set(found["maskDigests"]) == set(PROTOCOLS)
    for row in found["rows"]:
        assert set(row) == ROW
        assert set(row["metrics"]) == set(row["baseline"]) == set(row["intervals"])
        low, high = row["intervals"]["mae"]
        assert low <= row["metrics"]["mae"] <= high
    assert found["gradients"] is None
    assert "no trained core" in found["skipped"]["gradients"]
    assert {one["metric"] for one in found["contributions"]} >= {"mae", "pearson"}
    assert contents(trained_workspace.root) == before
    told = html.read_text("utf-8")
    assert found["model"] in told
    assert all(digest in told for digest in found["maskDigests"].values())
    html.unlink()
    again = ask(trained_workspace.root, "--protocol", "all", "--html", str(html))
    assert again == found
    assert html.read_text("utf-8") == told


def test_without_anything_missing_all_protocols_say_the_same(
    trained_workspace: TrainedWorkspace,
) -> None:
    rows = ask(trained_workspace.root, "--protocol", "all")["rows"]
    intact = [row for row in rows if row["rate"] == 0 and row["protocol"] != "subsets"]
    assert len(intact) == 2 + 8
    assert all(row["metrics"] == intact[0]["metrics"] for row in intact)
    by_rate = {row["rate"]: row["metrics"] for row in rows if row["protocol"] == "whole"}
    equal = [row for row in rows if row["series"] == "equal rates"]
    assert equal
    assert all(row["metrics"] == by_rate[row["rate"]] for row in equal)


def test_a_revoked_channel_takes_part_in_no_protocol(trained_workspace: TrainedWorkspace) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    shown = ask_records(root, user)
    before = {name: ask(root, "--protocol", name)["rows"] for name in ("subsets", "corrupt")}
    must_run(root, "revoke", "--user", user, "--modality", "audio")
    after = {name: ask(root, "--protocol", name)["rows"] for name in ("subsets", "corrupt")}

    lost = sum("audio" in record["available"] for record in shown)
    assert lost > 0
    for old, new in zip(before["subsets"], after["subsets"], strict=True):
        expected = sum(set(old["available"]) <= set(record["available"]) for record in shown)
        gone = expected if "audio" in old["available"] else 0
        assert new["n"] == old["n"] - gone
    # Noise is drawn for every value that is used: the digest changes where audio was touched.
    for old, new in zip(before["corrupt"], after["corrupt"], strict=True):
        audio = "all" in old["series"] or "audio" in old["series"]
        assert (old["maskDigest"] != new["maskDigest"]) or not (audio and old["rate"] > 0)


def ask_records(root: Path, user: str) -> list[dict[str, Any]]:
    records = must_run(root, "data", "show", "--user", user, "--json").json["records"]
    return [record for record in records if record["split"] == "test"]


def test_the_seed_names_the_masks_and_the_split_the_records(
    trained_workspace: TrainedWorkspace,
) -> None:
    root = trained_workspace.root
    first, other = (ask(root, "--protocol", "random", "--seed", seed) for seed in ("0", "1"))
    assert first["maskDigests"] != other["maskDigests"]
    test, valid = (ask(root, "--split", split) for split in ("test", "valid"))
    assert test["split"] == ask(root)["split"] == "test"
    assert valid["records"] < test["records"]


def test_frames_can_be_zeros_and_the_masks_stay(trained_workspace: TrainedWorkspace) -> None:
    root = trained_workspace.root
    dropped, zeroed = (
        ask(root, "--protocol", "random", "--frames", fill) for fill in ("drop", "zero")
    )
    assert dropped["maskDigests"] == zeroed["maskDigests"]
    assert dropped["rows"][0]["metrics"] == zeroed["rows"][0]["metrics"]
    assert dropped["rows"][5]["metrics"] != zeroed["rows"][5]["metrics"]


def test_metrics_can_be_chosen_and_must_fit_the_labels(trained_workspace: TrainedWorkspace) -> None:
    root = trained_workspace.root
    assert ask(root)["metrics"] == "mosi"
    chosen = ask(root, "--metrics", "regression")
    assert set(chosen["rows"][0]["metrics"]) == {"mae", "pearson"}
    refused = run_mbd(root, "eval", "--metrics", "classes", "--json")
    assert refused.code == 2
    assert refused.json["error"]["field"] == "--metrics"


def test_the_table_puts_the_constant_beside_each_number(
    trained_workspace: TrainedWorkspace,
) -> None:
    out = must_run(trained_workspace.root, "eval", "--protocol", "whole").out
    lines = out.splitlines()
    assert lines[0].startswith("whole: masks ")
    assert lines[1].split()[:4] == ["condition", "rate", "missing", "n"]
    assert lines[2].count("(") == 4
    assert "mean of the training labels" in lines[-1]


def test_a_report_that_cannot_be_written_is_an_error(trained_workspace: TrainedWorkspace) -> None:
    ran = run_mbd(trained_workspace.root, "eval", "--html", "nowhere/at/all.html", "--json")
    assert ran.code != 0
    assert "nowhere" in ran.json["error"]["message"]


@pytest.mark.slow
def test_a_trained_core_has_gradients(trained_workspace: TrainedWorkspace) -> None:
    root = trained_workspace.root
    must_run(root, "train", "--core", "trained", "--set", "heads.width=448")
    found = ask(root, "--protocol", "all")
    assert set(found["gradients"]["norms"]) == {"audio", "text", "vision"}
    assert 0 <= found["gradients"]["imbalance"] < 1
    assert len(found["rows"]) == sum(COUNTS.values())
