"""A certificate as a page for a person who is no engineer: frozen values, no layout.

The first thing on it is whether the file was verified. What the file says comes after, in
sections that `page_sections` makes; `page_text` and `page_html` show the same values. The
certificate and the receipt are other people's text: it is escaped where it is shown.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from mbd.certificate.page_words import Standing

Trust = Literal["named", "found", "own", "none"]


@dataclass(frozen=True)
class Key:
    """A key that the check believed, or one that the file names and nobody vouches for."""

    role: str
    name: str
    fingerprint: str
    believed: bool = True


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What verifying the file gave, in plain values."""

    standing: Standing
    reason: str = ""
    """Why it is not valid, as the verifier words it; quotes the file."""
    failed: tuple[str, ...] = ()
    """Every check that failed, in plain words; may quote the file."""
    levels: tuple[str, ...] = ()
    """Levels of verification that were reached."""
    checkpoint: str | None = None
    not_checked: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    trust: Trust = "none"
    keys: tuple[Key, ...] = ()
    checked_on: date


@dataclass(frozen=True)
class Fact:
    """A name and what the certificate says for it."""

    label: str
    value: str
    strong: bool = False


@dataclass(frozen=True)
class Point:
    """One line of a list: perhaps a lead, a sentence, perhaps a command to type."""

    text: str
    lead: str = ""
    command: str = ""


@dataclass(frozen=True)
class Listing:
    """A list, perhaps with a sentence before it."""

    points: tuple[Point, ...]
    intro: str = ""
    numbered: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with what belongs under it, in this order."""

    id: str
    title: str
    facts: tuple[Fact, ...] = ()
    paragraphs: tuple[str, ...] = ()
    listings: tuple[Listing, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """The whole page."""

    certificate_id: str
    standing: Standing
    verdict: str
    sentences: tuple[str, ...]
    cautions: tuple[str, ...]
    """What nobody should miss who reads the verdict and no more."""
    reason: str
    """Why it is not valid, as the verifier words it."""
    sections: tuple[Section, ...]

    @property
    def good(self) -> bool:
        """Whether the page may look like one that can be relied on."""
        return self.standing == "valid"

    @property
    def mark(self) -> str:
        """What stands before every heading of a page that nobody should rely on."""
        return "" if self.good else self.verdict

    def to_json(self) -> dict[str, Any]:
        """The page as `mbd certificate show --json` prints it."""
        return {
            "certificateId": self.certificate_id,
            "standing": self.standing,
            "verdict": self.verdict,
            "sentences": list(self.sentences),
            "cautions": list(self.cautions),
            "reason": self.reason or None,
            "sections": [asdict(section) for section in self.sections],
        }
