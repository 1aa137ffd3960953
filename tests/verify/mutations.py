"""Every small way of bending a text: bytes, lines, and members of JSON at any depth.

JSON is edited as text would be: objects are lists of pairs here, so that a key can come twice, and
`Raw` is written as it is, so that numbers can have any spelling.
"""

from __future__ import annotations

import json
import math
import random
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from mbd.canonical.numbers import to_decimal
from mbd.canonical.ulid import is_ulid

Path = tuple[str | int, ...]


class Pairs(list[tuple[str, Any]]):
    """An object of JSON, in the order of its text."""


class Raw(str):
    """A token that is written as it stands."""


@dataclass(frozen=True)
class Edit:
    """One bent text."""

    path: Path
    kind: Literal["key", "list", "value"]
    """A key was deleted, doubled, renamed or moved; a list has other members; another value."""
    words: str
    new: Any
    whole: Any
    """What is bent."""

    @property
    def text(self) -> str:
        """The bent text."""
        return write(replaced(self.whole, self.path, self.new))

    @property
    def place(self) -> str:
        """The path with dots, every number of a list as `*`."""
        return ".".join("*" if isinstance(part, int) else part for part in self.path)


def read(text: str) -> Any:
    """JSON whose objects are `Pairs`."""
    return json.loads(text, object_pairs_hook=Pairs)


def write(value: Any) -> str:
    """The text of what `read` gave, as RFC 8785 spells it where nothing is bent."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{write(key)}:{write(member)}" for key, member in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(write(member) for member in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def plain(value: Any) -> Any:
    """The same with ordinary dictionaries."""
    if isinstance(value, Pairs):
        return {key: plain(member) for key, member in value}
    return [plain(member) for member in value] if isinstance(value, list) else value


def edits(text: str, others: Sequence[str] = ()) -> Iterator[Edit]:
    """Every edit of a JSON text.

    Args:
        text: What is bent.
        others: Texts of the same form, whose members are put into the same places.
    """
    whole = read(text)
    assert write(whole) == text
    donors = [read(other) for other in others]
    for path, value in places(whole):
        for words, new in replacements(value, [at(donor, path) for donor in donors]):
            yield Edit(path, "value", words, new, whole)
        bent = keys_bent(value) if isinstance(value, Pairs) else lists_bent(value)
        kind: Literal["key", "list"] = "key" if isinstance(value, Pairs) else "list"
        for words, new in bent:
            yield Edit(path, kind, words, new, whole)


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every member at every depth, the whole first."""
    yield path, value
    if isinstance(value, Pairs):
        for key, member in value:
            yield from places(member, (*path, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from places(member, (*path, index))


def at(value: Any, path: Path) -> Any:
    """What is at a place; None where there is no such place."""
    for part in path:
        if isinstance(value, Pairs) and isinstance(part, str):
            value = dict(value).get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def replaced(value: Any, path: Path, new: Any) -> Any:
    """A copy with another value at one place."""
    if not path:
        return new
    first, rest = path[0], path[1:]
    if isinstance(value, Pairs):
        return Pairs((k, replaced(v, rest, new) if k == first else v) for k, v in value)
    return [replaced(v, rest, new) if i == first else v for i, v in enumerate(value)]


def keys_bent(value: Pairs) -> Iterator[tuple[str, Any]]:
    """Each key deleted, doubled, renamed, moved; one that nobody knows added."""
    for index, (key, member) in enumerate(value):
        before, after = value[:index], value[index + 1 :]
        yield f"without {key}", Pairs([*before, *after])
        for second in [member, None, *[new for _, new in neighbours(member)][:2]]:
            yield f"{key} twice", Pairs([*before, (key, member), (key, second), *after])
            yield f"{key} twice, first another", Pairs([*before, (key, second), *value[index:]])
        yield f"{key} again at the end", Pairs([*value, (key, member)])
        for other in (key + "x", key.upper(), "_" + key, key + "\u200b", key + "\u0301", ""):
            yield f"{key} renamed {other!r}", Pairs([*before, (other, member), *after])
        if index:
            yield f"{key} first", Pairs([(key, member), *before, *after])
        yield f"{key} with a space", Pairs([*before, (key, Raw(" " + write(member))), *after])
    yield "another key", Pairs([*value, ("zz", 1)])
    yield "another key, null", Pairs([*value, ("zz", None)])


def lists_bent(value: Any) -> Iterator[tuple[str, list[Any]]]:
    """A list emptied, doubled, reversed, rotated; each member left out, doubled, moved."""
    if not isinstance(value, list) or not value:
        return
    bent = {
        "emptied": [],
        "doubled": value + value,
        "reversed": value[::-1],
        "rotated": value[1:] + value[:1],
        "with null": [*value, None],
        "with a list": [*value, []],
    }
    for index, member in enumerate(value):
        bent[f"without {index}"] = value[:index] + value[index + 1 :]
        bent[f"{index} twice"] = [*value[: index + 1], member, *value[index + 1 :]]
        bent[f"{index} last"] = [*value[:index], *value[index + 1 :], member]
    yield from ((words, new) for words, new in bent.items() if new != value)


def replacements(value: Any, donors: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Null, other types, neighbouring values, and what others have in this place."""
    others = [None, True, False, 0, 1, "", "x", [], Pairs(), [value], Pairs([("a", value)])]
    huge = ["-0", "1.0", "1e0", "1e400", "-1", "9007199254740992", "1" * 400, "NaN", "Infinity"]
    hostile = ['"\\ud800"', '"\\u0000"', "0x1", "01", "'x'", "tru", ""]
    candidates = [("another type", one) for one in others]
    candidates += [("a raw token", Raw(one)) for one in (*huge, *hostile)]
    candidates += [("from another", one) for one in donors if one is not None]
    candidates += neighbours(value)
    seen = {write(value)}
    for words, new in candidates:
        if write(new) not in seen:
            seen.add(write(new))
            yield words, new


def neighbours(value: Any) -> list[tuple[str, Any]]:
    """Values of the same type nearby."""
    if isinstance(value, int) and not isinstance(value, bool):
        near = (value - 1, value + 1, -value, 2 * value, 2**31 - 1, 2**31)
        return [("a neighbour", one) for one in near if one != value]
    if not isinstance(value, str):
        return []
    found = [*_spellings(value), *_numbers(value), *_digests(value), *_times(value), *_ulids(value)]
    return [("a neighbour", one) for one in dict.fromkeys(found) if one != value]


def _spellings(text: str) -> list[str]:
    """The same to the eye, or to a careless program."""
    found = [text + " ", " " + text, text + "\n", text + "\u2028", "\ufeff" + text]
    found += [text + "\u200b", text + "\u0301", text[:-1], text + text[-1:], text[::-1]]
    found += [text.upper(), text.lower(), text.swapcase(), text.replace("a", "\u0430")]
    found += [unicodedata.normalize(form, text) for form in ("NFD", "NFKC")]
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    return [*found, wide, text + "x", text.replace(" ", "  ", 1), text + "\x00"]


def _numbers(text: str) -> list[str]:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return []
    if not number.is_finite() or len(text) > 25:
        return []
    near = [math.nextafter(float(number), end) for end in (-math.inf, math.inf)]
    near += [float(number) / 2, float(number) * 2, 1.0, 0.5, 1e-300, 1e300, 0.01, 0.02]
    spelled = [text + "0", text + ".0", "+" + text, "-" + text, "0" + text, "-0", "1e400", "nan"]
    spelled += ["inf", "0x1p-3", "1_0", "\u0661", "5e-324", "1E5", "1e+05"]
    return [to_decimal(one) for one in near if math.isfinite(one)] + spelled


def _digests(text: str) -> list[str]:
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        return []
    last = "0" if text[-1] != "0" else "1"
    return [text[:-1] + last, "0" * 64, "f" * 64, text[:-1] + "G", text[:-1] + "\u0661"]


def _times(text: str) -> list[str]:
    try:
        day = date.fromisoformat(text[:10])
    except ValueError:
        return []
    rest, (year, week, weekday) = text[10:], day.isocalendar()
    days = [(day + timedelta(days=step)).isoformat() for step in (-60, -20, -1, 1, 20, 60)]
    days += [f"{year}-W{week:02}-{weekday}", text[:10].replace("-", ""), "0000-01-01", "0001-01-01"]
    days += ["9999-12-31", "2026-02-30", "2026-5-17", "1999-12-31", "2201-01-01"]
    found = [one + rest for one in days]
    if not rest:
        return found
    clocks = ["T23:59:60Z", "T24:00:00Z", "T12:00:00z", "T12:00:00+00:00", "T12:00:00.0Z"]
    clocks += ["T12:00:01Z", "T11:59:59Z", "T12:02:00Z", " 12:00:00Z", "T12:00Z", "T\u0661:00:00Z"]
    found += [text[:10] + one for one in clocks]
    return [*found, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]


def _ulids(text: str) -> list[str]:
    if not is_ulid(text):
        return []
    ends = [text[:-1] + one for one in "0Zzilo-"]
    return [*ends, "8" + text[1:], "7" + "Z" * 25, "0" * 26, text[:8] + "ZZ" + text[10:]]


def bent_bytes(data: bytes, seed: int, every: int = 1) -> Iterator[tuple[str, bytes]]:
    """Bytes flipped in several ways, deleted, doubled; cut off and lengthened.

    Args:
        data: What is bent.
        seed: Chooses bits and letters.
        every: Only every so many-th byte, from an offset that the seed chooses.
    """
    chance = random.Random(seed)
    for index in range(chance.randrange(every), len(data), every):
        old = data[index]
        printable = chance.choice([b for b in range(32, 127) if b != old])
        flipped = {old ^ 1 << chance.randrange(8), (old + 1) % 256, 0, printable} - {old}
        for new in sorted(flipped):
            yield f"byte {index} is {new}", data[:index] + bytes([new]) + data[index + 1 :]
        yield f"without byte {index}", data[:index] + data[index + 1 :]
        yield f"byte {index} twice", data[: index + 1] + data[index:]
        yield f"only {index} bytes", data[:index]
    for more in (b"\n", b" ", b"\0", b"{}", data):
        yield f"and {more[:2]!r}", data + more
        yield f"{more[:2]!r} and", more + data
    yield "a byte order mark", b"\xef\xbb\xbf" + data
    for coding in ("utf-16", "utf-32-le", "utf-7"):
        yield coding, data.decode().encode(coding)


def bent_lines(text: str) -> Iterator[tuple[str, str]]:
    """Lines dropped, doubled, swapped, moved, ended otherwise."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        before, after = lines[:index], lines[index + 1 :]
        yield f"without line {index}", "\n".join(before + after)
        yield f"line {index} twice", "\n".join([*before, line, line, *after])
        yield f"line {index} last", "\n".join([*before, *after, line])
        yield f"line {index} first", "\n".join([line, *before, *after])
        yield f"a blank line before {index}", "\n".join([*before, "", line, *after])
        for more in (" ", "\r", "\t", "=", "\u2028", "\x85", "A", "\x00"):
            yield f"line {index} and {more!r}", "\n".join([*before, line + more, *after])
            yield f"line {index} after {more!r}", "\n".join([*before, more + line, *after])
        for other in range(index):
            swapped = list(lines)
            swapped[index], swapped[other] = swapped[other], swapped[index]
            yield f"lines {other} and {index} swapped", "\n".join(swapped)
    yield "CRLF", text.replace("\n", "\r\n")
    yield "CR", text.replace("\n", "\r")
    yield "U+2028", text.replace("\n", "\u2028")
    yield "decomposed", unicodedata.normalize("NFD", text)
    yield "compatible", unicodedata.normalize("NFKC", text)
