"""The tour in README works word for word: its commands run, its outputs are real."""

from __future__ import annotations

import contextlib
import glob
import io
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from mbd.cli.main import invoke
from mbd.data.spec import parse_spec

README = Path(__file__).resolve().parents[1] / "README.md"
TOLERANCE = 0.05
"""Released heads carry fresh noise: numbers with a decimal point may differ by this much."""

_NAMES = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<time>"),
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b"), "<ulid>"),
    (re.compile(r"\b01[0-9a-hjkmnp-tv-z]{24}\b"), "<ulid>"),
    (re.compile(r"\b[0-9a-f]{16,64}\b"), "<digest>"),
    (re.compile(r"\b\d+\.\d s\b"), "<seconds>"),
    (re.compile(r"(/[\w.-]+)+/service"), "<workspace>"),
)
_DECIMAL = re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True)
class Step:
    """One command of the tour and the output that README shows for it."""

    command: str
    expected: str


def tour() -> list[Step]:
    """Every `$ command` of the console blocks, in order."""
    steps: list[Step] = []
    for block in re.findall(r"```console\n(.*?)```", README.read_text("utf-8"), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            steps.append(Step(command, expected))
    return steps


def programs() -> list[str]:
    """Every Python block, in order; they run in the folder in which the tour ends."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert blocks
    return blocks


def normalised(text: str) -> str:
    """Text without what differs from run to run: ids, digests, times, paths."""
    for pattern, name in _NAMES:
        text = pattern.sub(name, text)
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def same(expected: str, found: str) -> bool:
    """Equal word for word, but for names and the last digits of decimals."""
    left, right = normalised(expected), normalised(found)
    if _DECIMAL.sub("<n>", left) != _DECIMAL.sub("<n>", right):
        return False
    numbers = zip(_DECIMAL.findall(left), _DECIMAL.findall(right), strict=True)
    return all(abs(float(a) - float(b)) <= TOLERANCE for a, b in numbers)


def test_the_tour_works_word_for_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    steps = tour()
    assert len(steps) >= 10
    for step in steps:
        words = shlex.split(step.command)
        if words[0] == "cd":
            os.chdir(words[1])
            continue
        assert words[0] == "mbd"
        arguments = [found for word in words[1:] for found in sorted(glob.glob(word)) or [word]]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = invoke(arguments)
        assert code == 0, step.command
        assert same(step.expected, out.getvalue()), (
            f"$ {step.command}\n--- README\n{normalised(step.expected)}\n"
            f"--- now\n{normalised(out.getvalue())}"
        )
    for block in programs():
        exec(compile(block, "README.md", "exec"), {})


GROUPS = {"consent", "data", "db", "key", "ledger", "receipt", "secrets", "state", "trust"}


def test_every_command_that_readme_names_exists() -> None:
    text = README.read_text("utf-8")
    named = {tuple(found.split()) for found in re.findall(r"`mbd ([a-z]+(?: [a-z-]+)?)", text)}
    for words in sorted(named):
        shown = words if words[0] in GROUPS else words[:1]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert invoke([*shown, "--help"]) == 0, shown


def test_the_spec_that_readme_shows_is_one() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    spec = parse_spec(block.encode())
    assert spec.task == "regression"
    assert set(spec.modalities) == {"text", "audio"}
