"""No input up to its size cap takes more than 64 MB of memory or a second of CPU."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mbd.errors import MbdError
from tests.fuzz.targets import load_targets

MEMORY = 64 << 20
SECONDS = 1.0
TARGETS = load_targets()


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_nasty_inputs_stay_within_memory_and_time(name):
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.measure", name],
        capture_output=True,
        text=True,
        check=True,
    )

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 20
    for target, what, seconds, grown, raised in rows:
        assert raised is None, f"{target}: {what}: {raised}"
        assert grown <= MEMORY, f"{target}: {what}: {grown >> 20} MB"
        assert seconds <= SECONDS, f"{target}: {what}: {seconds:.2f} s"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("statement", b"[" + b"{}," * 300_000 + b"0]"),
        ("bundle", b"[" + b"[]," * 800_000 + b"0]"),
        ("trust", b"a." * 60_000 + b"b=1"),  # a minute, were it parsed
        ("trust", b"[" + b"a." * 60_000 + b"b]"),
    ],
)
def test_what_would_fill_memory_or_time_is_refused_before_it_is_parsed(name, data):
    with pytest.raises(MbdError, match="more than"):
        TARGETS[name].run(data)


def test_a_list_of_wrong_items_is_refused_for_the_first_of_them():
    seed = json.loads(TARGETS["envelope"].seeds()[0])
    seed["signatures"] = [{}] * 50_000
    with pytest.raises(MbdError, match=r"at signatures\.0\."):
        TARGETS["envelope"].run(json.dumps(seed).encode())


def test_thousands_of_unknown_keys_are_counted_not_listed():
    seed = json.loads(TARGETS["statement"].seeds()[0])
    seed |= {f"k{number}": 0 for number in range(5000)}
    with pytest.raises(MbdError, match="5000 things wrong"):
        TARGETS["statement"].run(json.dumps(seed).encode())
