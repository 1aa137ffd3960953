"""Feed one parser with mutated documents for a while, guided by coverage.

    python examples/fuzz/fuzz.py TARGET --seconds 60 [CORPUS]

Needs `pip install mbd[fuzz]` (atheris, Linux). Stops at the first input that raises anything
but an error of the program, takes more than a second of CPU, or more than 64 MB of memory; the
input is left in the current folder as `crash-...`. See README.md here.
"""

from __future__ import annotations

import contextlib
import importlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from mbd.errors import MbdError

SECONDS = 1.0
MEMORY = 64 << 20
LONGEST = 1 << 16
"""Bytes of an input; tests/fuzz has longer ones, which mutation would not find anyway."""
HUNG = 20
"""Seconds after which libFuzzer itself ends an input."""

HERE = Path(__file__).resolve().parent
MODULES = ["mbd", "targets", "json", "tomllib", "base64", "datetime"]


class TooMuch(Exception):
    """An input that was slow or large."""


class Measured:
    """A target that may raise an `MbdError`, within its limits."""

    def __init__(self, run: Callable[[bytes], object], most_bytes: int) -> None:
        self.run, self.most_bytes = run, most_bytes
        self.peak = 0

    def __call__(self, data: bytes) -> None:
        if len(data) > self.most_bytes:
            return
        before, begin = _resident(), time.process_time()
        with contextlib.suppress(MbdError):
            self.run(data)
        seconds, grown = time.process_time() - begin, _peak() - before
        if seconds > SECONDS:
            raise TooMuch(f"{seconds:.2f} s of CPU")
        if grown > MEMORY and _peak() > self.peak:
            raise TooMuch(f"{grown >> 20} MB")
        self.peak = _peak()


def _resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _peak() -> int:
    """The most bytes of it that ever were."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@click.command(epilog="Example: python examples/fuzz/fuzz.py statement --seconds 60")
@click.argument("name", metavar="TARGET")
@click.argument("corpus", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--seconds", type=click.IntRange(1), default=60, show_default=True)
def main(name: str, corpus: Path | None, seconds: int) -> None:
    """Fuzz TARGET, starting from valid documents and what CORPUS holds; new finds go there."""
    sys.path[:0] = [str(HERE), str(HERE.parent / "benchmarks")]
    try:
        import atheris
    except ImportError as error:
        raise click.ClickException("atheris is missing: pip install 'mbd[fuzz]'") from error
    with atheris.instrument_imports(include=MODULES):
        targets = importlib.import_module("targets").TARGETS
    if name not in targets:
        raise click.BadParameter(f"want one of {', '.join(targets)}", param_hint="TARGET")
    seeds = Path(tempfile.mkdtemp(prefix="mbd-seeds-"))
    for number, seed in enumerate(targets[name].seeds()):
        (seeds / f"seed-{number}").write_bytes(seed)
    found = corpus or Path(tempfile.mkdtemp(prefix="mbd-corpus-"))
    found.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={HUNG}"]
    measured = Measured(targets[name].run, targets[name].most_bytes)
    folders = [str(found), str(seeds)]
    atheris.Setup([sys.argv[0], *options, *folders], measured)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
