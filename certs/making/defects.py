"""What a refused example is, and small ways to spoil things."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from making.story import Edit, Json, Story
from making.valid import HONEST
from mbd.canonical.json import dumps


@dataclass(frozen=True)
class Defect:
    """A file that must be refused, and for what."""

    name: str
    code: str
    """Of the first check that fails, or that cannot be made."""
    data: bytes
    exit_code: int = 1
    trust: str = "trust.toml"


def story(name: str, base: Story = HONEST, **changes: Any) -> Story:
    """A story of its own name, told like the honest one but for the changes."""
    return replace(base, **{"name": name, **changes})


def lie(name: str, code: str, *edits: Edit, base: Story = HONEST, **options: Any) -> Defect:
    """A statement that says something false or forbidden, signed and logged all the same."""
    told = story(name, base, edit=_all(edits))
    return Defect(name, code, told.data(), **options)


def torn(
    name: str, code: str, *edits: Edit, spell: Callable[[bytes], bytes] | None = None
) -> Defect:
    """A bundle that was changed after everything was signed."""
    bundle: Json = story(name).bundle()
    _all(edits)(bundle)
    data = dumps(bundle)
    return Defect(name, code, spell(data) if spell else data)


def put(path: str, value: Any) -> Edit:
    """Set the member at a dotted path; a number is an index."""

    def edit(content: Any) -> None:
        place, last = _place(content, path)
        place[last] = value

    return edit


def drop(path: str) -> Edit:
    """Remove the member at a dotted path."""

    def edit(content: Any) -> None:
        place, last = _place(content, path)
        del place[last]

    return edit


def change(path: str, by: Callable[[Any], Any]) -> Edit:
    """Replace the member at a dotted path by what a function makes of it."""

    def edit(content: Any) -> None:
        place, last = _place(content, path)
        place[last] = by(place[last])

    return edit


def swap(old: str, new: str) -> Callable[[str], str]:
    """A function that replaces a part of a text, which has to be there."""

    def replaced(text: str) -> str:
        assert old in text, (old, text)
        return text.replace(old, new, 1)

    return replaced


def flip_last_bit(text: str) -> str:
    """Base64 text with one bit of its content changed."""
    content = bytearray(b64decode(text))
    content[-1] ^= 1
    return b64encode(content).decode()


def _all(edits: tuple[Edit, ...]) -> Edit:
    def edit(content: Any) -> None:
        for one in edits:
            one(content)

    return edit


def _place(content: Any, path: str) -> tuple[Any, Any]:
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for part in parents:
        content = content[part]
    return content, last
