"""The benchmark of quality says what it lacks, and reaches its targets where it has it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import shared_path

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "quality.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=280
    )


def test_without_the_data_it_says_which_file_it_wants(tmp_path):
    ended = run("--data", str(tmp_path))

    assert ended.returncode == 1
    assert f"{tmp_path}/ravdess_av.npz is not here" in ended.stderr
    assert "--data" in ended.stderr


@pytest.mark.slow
def test_heads_that_forget_are_as_good_as_ridge_and_near_the_deep_reference():
    ended = run("--data", str(shared_path("data")), "--quick")

    assert ended.returncode == 0, ended.stderr
    ravdess, mosi = (table(part) for part in ended.stdout.split("MOSI: mae"))
    for column in range(3):
        heads = ravdess["core none + heads"][column]
        assert heads >= ravdess["ridge on raw features"][column]
        assert heads >= ravdess["deep, trained on everybody"][column] - 0.05
        assert mosi["core none + heads"][column] <= mosi["ridge on raw features"][column] + 0.005
    for scores in (ravdess, mosi):
        difference = zip(scores["a tenth revoked"], scores["a tenth never there"], strict=True)
        assert all(abs(a - b) < 0.02 for a, b in difference)


def table(text: str) -> dict[str, list[float]]:
    lines = (re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if "+-" in line)
    return {name: [float(cell.split(" ")[0]) for cell in cells] for name, *cells in lines}
