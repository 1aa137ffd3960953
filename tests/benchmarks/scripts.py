"""Benchmarks, run as a person would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "examples" / "benchmarks"


def run_benchmark(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark by the name of its file; its seconds are not judged."""
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )
