"""The page for a terminal: plain characters, wrapped, the verdict first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from mbd.canonical.text import printable
from mbd.certificate.page import Fact, Listing, Page, Section

_LABEL = 14  # columns of a fact's name


def page_text(page: Page, width: int = 80) -> str:
    """The page in lines of at most `width` columns, where words allow it."""
    lines = [*_verdict(page, width)]
    for section in page.sections:
        lines += ["", *_section(section, page.mark, width)]
    return "\n".join(lines)


def _verdict(page: Page, width: int) -> Iterator[str]:
    rule = ("=" if page.good else "!") * width
    yield rule
    yield f"  {page.verdict}"
    yield rule
    yield "Modality deletion certificate " + printable(page.certificate_id)
    if page.reason:
        yield from _wrapped(f"Why: {page.reason}", width)
    for caution in page.cautions:
        yield from _wrapped(caution, width)
    yield from _wrapped(" ".join(page.sentences), width)


def _section(section: Section, mark: str, width: int) -> Iterator[str]:
    title = f"{mark}: {section.title}" if mark else section.title
    yield title
    yield "-" * len(title)
    for fact in section.facts:
        yield from _fact(fact, width)
    for text in section.paragraphs:
        yield from _wrapped(text, width)
    for listing in section.listings:
        yield from _listing(listing, width)
    for text in section.after:
        yield from _wrapped(text, width)


def _fact(fact: Fact, width: int) -> list[str]:
    label = printable(fact.label)
    if len(label) >= _LABEL:
        return [f"{label}:", *_wrapped(fact.value, width, "  ", "  ")]
    return _wrapped(fact.value, width, label.ljust(_LABEL), " " * _LABEL)


def _listing(listing: Listing, width: int) -> Iterator[str]:
    if listing.intro:
        yield from _wrapped(listing.intro, width)
    for number, point in enumerate(listing.points, 1):
        mark = f"{number}. " if listing.numbered else "- "
        text = f"{point.lead}: {point.text}" if point.lead else point.text
        yield from _wrapped(text, width, mark, " " * len(mark))
        if point.command:
            yield " " * (len(mark) + 2) + "$ " + printable(point.command)


def _wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
