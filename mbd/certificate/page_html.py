"""The page as one HTML file: no network, no scripts, for the screen and for A4 or Letter paper.

Everything that is shown is escaped here, in one place; values that may be in another script stand
in elements of their own, so that they cannot reorder the words around them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from mbd.canonical.text import printable
from mbd.certificate.page import Fact, Listing, Page, Point, Section
from mbd.certificate.page_style import STYLE

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_PLAIN = re.compile(r"[A-Za-z0-9,: ]+", re.ASCII)
_QUOTED = re.compile(r"`([^`<>]+)`")
"""Names of commands, as the registries write them."""
_OPTION = re.compile(r"(?<!\S)--[a-z-]+")
"""Options of a command: a browser would break a line inside one."""
_LAYOUT = {
    "removed": "pair",
    "in-time": "pair",
    "places": "columns",
    "erased": "columns",
    "stays": "columns",
    "not-covered": "columns",
    "word": "columns",
    "here": "columns",
    "limits": "columns",
}
_SIGNS = {"valid": "\u2713", "not-current": "!", "invalid": "\u2715"}


def page_html(page: Page) -> str:
    """The whole file."""
    title = f"{page.verdict}: deletion certificate {page.certificate_id}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}{_running(page)}</style>",
            "</head>",
            f'<body class="{page.standing}">',
            "<main>",
            _verdict(page),
            *_sections(page),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _running(page: Page) -> str:
    """The foot of every sheet: a sheet that is found alone says what it belongs to."""
    foot = f"{page.verdict}: certificate {page.certificate_id}"
    assert _PLAIN.fullmatch(foot)  # it stands inside CSS
    return (
        f'@page {{ @bottom-left {{ content: "{foot}"; }}\n'
        '  @bottom-right { content: counter(page) " of " counter(pages); } }'
    )


def _verdict(page: Page) -> str:
    sign = _SIGNS.get(page.standing, "?")
    reason = f"<p class=why>Why: <bdi>{_shown(page.reason)}</bdi></p>" if page.reason else ""
    cautions = "".join(f"<p class=why>{_shown(text)}</p>" for text in page.cautions)
    return (
        '<header class="verdict">'
        f'<p class="kind">Modality deletion certificate '
        f"<code>{_shown(page.certificate_id)}</code></p>"
        f'<h1><span class="sign" aria-hidden="true">{sign}</span> {_shown(page.verdict)}</h1>'
        + reason
        + cautions
        + _paragraphs(page.sentences)
        + "</header>"
    )


def _sections(page: Page) -> Iterator[str]:
    """Neighbours of the same kind stand side by side."""
    for kind, group in groupby(page.sections, lambda one: _LAYOUT.get(one.id, "wide")):
        inner = "".join(_section(section, page.mark) for section in group)
        yield f'<div class="{kind}">{inner}</div>'


def _section(section: Section, mark: str) -> str:
    name = f'<span class="mark">{_shown(mark)}:</span> ' if mark else ""
    return (
        f'<section id="{section.id}" aria-labelledby="{section.id}-title">'
        f'<h2 id="{section.id}-title">{name}{_shown(section.title)}</h2>'
        + (f"<dl>{''.join(map(_fact, section.facts))}</dl>" if section.facts else "")
        + _paragraphs(section.paragraphs)
        + "".join(map(_listing, section.listings))
        + _paragraphs(section.after)
        + "</section>"
    )


def _fact(fact: Fact) -> str:
    kind = ' class="strong"' if fact.strong else ""
    label, value = _shown(fact.label), _shown(fact.value)
    return f"<div{kind}><dt>{label}</dt> <dd><bdi>{value}</bdi></dd></div>"


def _listing(listing: Listing) -> str:
    kind = "ol" if listing.numbered else "ul"
    intro = f'<p class="intro">{_shown(listing.intro)}</p>' if listing.intro else ""
    return f"{intro}<{kind}>{''.join(map(_point, listing.points))}</{kind}>"


def _point(point: Point) -> str:
    lead = f"<b><bdi>{_shown(point.lead)}</bdi>:</b> " if point.lead else ""
    command = f"<pre><code>{_command(point.command)}</code></pre>" if point.command else ""
    return f"<li>{lead}<bdi>{_shown(point.text)}</bdi>{command}</li>"


def _command(text: str) -> str:
    return _OPTION.sub(r'<span class="option">\g<0></span>', _shown(text))


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f"<p><bdi>{_shown(text)}</bdi></p>" for text in texts)


def _shown(text: str) -> str:
    return _QUOTED.sub(r"<code>\1</code>", escape(printable(text), quote=True))
