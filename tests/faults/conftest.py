"""The harness of `examples/faults`, with one trained workspace for all of these tests."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "faults"))

from commands import Commands
from faults import build_shim, compiler
from kills import KINDS, Bench, make_bench
from places import Place
from trials import Asked, Trial


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A workspace to copy, and what undisturbed revocations in it do."""
    if sys.platform != "linux":
        pytest.skip("LD_PRELOAD and /proc are those of Linux")
    if compiler() is None:
        pytest.skip("no C compiler: the shim that brings faults about cannot be built")
    folder = tmp_path_factory.mktemp("faults")
    with Commands(build_shim(folder), folder / "output") as commands:
        yield make_bench(commands, folder, KINDS)


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Place:
    """A copy of the workspace."""
    return bench.original.copy(tmp_path / "place")


@pytest.fixture
def trial(bench: Bench, place: Place) -> Trial:
    """Somebody asks for one channel to be removed."""
    return new_trial(bench, place, "single")


def new_trial(bench: Bench, place: Place, kind: str) -> Trial:
    """Somebody asks, and it is the same person every time."""
    asked: Asked = bench.asked(kind, random.Random(1))
    return Trial(place, asked, bench.whole[kind])
