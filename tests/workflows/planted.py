"""A data set of made-up people whose names, labels and features lie nowhere by chance."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mbd.data.cohorts import CohortRule
from mbd.data.records import Sequence2D
from tests.workflows.arrivals import SHAPES
from tests.workflows.traces_of import Trace, of_features, of_name, of_number

SPEC = """\
name = "people"
task = "regression"
label = "label"
label_range = [-3.0, 3.0]
record_id = "record"
subject = "who"
split = {{ array = "split", train = 0, valid = 1, test = 2 }}
foundation = {foundation}
[modalities]
text = ["text"]
audio = ["audio"]
vision = ["vision"]
"""

_HEX = "0123456789abcdef"
_ULID = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_HAN = "山田花子鈴木佐藤高橋渡辺伊東中村小林加藤吉川清水木下島崎藤村夏目漱石川端康成"
_SYLLABLES = ("ka", "ro", "min", "tesh", "lu", "vor", "qua", "zeb", "nix", "pha", "gru", "woy")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record of one person."""

    name: str
    subject: str
    split: int
    label: float
    x: Mapping[str, Sequence2D | None]

    def traces(self) -> Iterator[Trace]:
        """Everything that this record must not leave: its name, its label, its features."""
        yield from of_name(self.name, thorough=False)
        yield from of_number(self.label, f"label of {self.name}")
        for modality, values in self.x.items():
            if values is not None:
                yield from of_features(values, f"{modality} of {self.name}", every=17)


@dataclass(frozen=True)
class Planted:
    """Who is in the data set, and what of them."""

    draw: np.random.Generator
    cohort: str
    """The value of `foundation` in the spec."""
    foundation: tuple[str, ...]
    revocable: tuple[str, ...]
    records: list[Record] = field(default_factory=list)

    @property
    def spec(self) -> str:
        """The import spec."""
        return SPEC.format(foundation=self.cohort)

    def more(self, subject: str, *splits: int) -> list[Record]:
        """New records of somebody, one for each split; they are remembered."""
        for split in splits:
            self.records.append(self._record(subject, split))
        return self.records[-len(splits) :]

    def traces(self) -> Iterator[Trace]:
        """What no file and no output may hold."""
        for subject in {record.subject for record in self.records}:
            yield from of_name(subject)
        for record in self.records:
            yield from record.traces()

    def _record(self, subject: str, split: int) -> Record:
        present = self.draw.random(len(SHAPES)) < 0.85
        present[self.draw.integers(len(SHAPES))] = True
        x = {
            name: self.draw.normal(size=shape).astype(np.float32) if here else None
            for (name, shape), here in zip(SHAPES.items(), present, strict=True)
        }
        label = float(self.draw.uniform(-2.9, 2.9))
        return Record(name=_record_name(self), subject=subject, split=split, label=label, x=x)


def plant(seed: int) -> Planted:
    """Twenty people; some are foundation, by a list of names or, for odd seeds, as a share."""
    draw = np.random.default_rng(seed)
    names = [style(draw) for style in (*_STYLES, *_STYLES)]
    assert len(set(names)) == len(names)
    draw.shuffle(names)
    rule = CohortRule(subjects=tuple(sorted(names[:8])))
    cohort = json.dumps(rule.subjects, ensure_ascii=False)  # TOML reads such strings as they are
    if seed % 2:
        rule = CohortRule(fraction=0.4, seed=seed)
        cohort = f"{{ fraction = {rule.fraction}, seed = {rule.seed} }}"
    chosen = {name: rule.admits("foundation", name) for name in names}
    made = Planted(
        draw,
        cohort,
        foundation=tuple(name for name in names if chosen[name]),
        revocable=tuple(name for name in names if not chosen[name]),
    )
    for name in names:
        made.more(name, 0, 0, 0, 0, 1, 1, 2)
    return made


def _token(draw: np.random.Generator, letters: Sequence[str], length: int) -> str:
    return "".join(letters[int(draw.integers(len(letters)))] for _ in range(length))


def _word(draw: np.random.Generator, length: int = 4) -> str:
    return _token(draw, _SYLLABLES, length)


_STYLES: tuple[Callable[[np.random.Generator], str], ...] = (
    lambda draw: f"Žofie {_word(draw).title()} Ångström",
    lambda draw: unicodedata.normalize("NFD", f"Élodie Nuñez {_word(draw)}"),
    lambda draw: " ".join(_word(draw) for _ in range(40))[:200].strip(),
    lambda draw: str(draw.integers(20, 99)),  # like the index of a record or an entry
    lambda draw: f"000{draw.integers(10**9, 10**10)}",
    lambda draw: f'O\'Brien "{_word(draw)}" \\ {{"user":1}}',
    lambda draw: f"../../certs/{_word(draw)}.json",
    lambda draw: f"{_word(draw)}+tag%41@example.org",
    lambda draw: _token(draw, _HEX, 64),  # like a commitment
    lambda draw: _token(draw, _HAN, 8) + "🙈",
    lambda draw: "01M7" + _token(draw, _ULID, 22),  # like a certificate
)
"""What people call people."""


def _record_name(planted: Planted) -> str:
    draw, number = planted.draw, len(planted.records)
    styles = (
        f"video {_word(draw)}/{number:04d}",
        f"Enregistrement n° {_word(draw)} — {number}",
        f"{_token(draw, _HEX, 8)}-{_token(draw, _HEX, 4)}-4{_token(draw, _HEX, 3)}",
        str(draw.integers(10**11, 10**12)),
        _token(draw, _HAN, 6) + str(number),
    )
    return styles[number % len(styles)]


def write(records: list[Record], spec: str, path: Path) -> list[str]:
    """Files for `mbd data import` and `mbd data add`: SRC and its options."""
    x: dict[str, Any] = {
        name: np.stack([_filled(record.x[name], shape) for record in records])
        for name, shape in SHAPES.items()
    }
    np.savez(
        path,
        label=np.array([r.label for r in records]),
        record=np.array([r.name for r in records]),
        who=np.array([r.subject for r in records]),
        split=np.array([r.split for r in records]),
        **x,
    )
    path.with_suffix(".toml").write_text(spec)
    return [str(path), "--spec", str(path.with_suffix(".toml"))]


def _filled(values: Sequence2D | None, shape: tuple[int, int]) -> Sequence2D:
    return np.full(shape, np.nan, np.float32) if values is None else values
