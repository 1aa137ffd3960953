"""The report of `mbd eval --html`: one page with everything inside, for screen and paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from html import escape

from mbd import __version__
from mbd.evaluation import wording
from mbd.evaluation.intervals import REPLICATES
from mbd.evaluation.metrics import LOWER_IS_BETTER
from mbd.evaluation.outcome import Evaluation
from mbd.evaluation.page_style import STYLE
from mbd.evaluation.plots import COLOURS, Bar, Curve, Point, bars, curves, key
from mbd.evaluation.protocol import EvaluationRow

_PLOTTED = 2  # metrics with a plot; the tables have all
CONSTANT = "constant predictor"
NUMBER = " class=num"
Column = tuple[str, str, Callable[[EvaluationRow], str]]
"""Heading, attribute of its cells, and their content as HTML."""


def page(found: Evaluation, day: date | None = None) -> str:
    """The whole document: HTML without a script, a font or a picture from elsewhere.

    Args:
        found: What to show.
        day: When it was measured.
    """
    title = f"Evaluation of {found.dataset}"
    sections = [_protocol(found, name) for name in found.protocols]
    rest = (_skipped(found), _contributions(found), _gradients(found), _method(found))
    body = "\n".join([_head(found, day), *sections, *filter(None, rest)])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _head(found: Evaluation, day: date | None) -> str:
    facts = {
        **({} if day is None else {"Date": day.isoformat()}),
        "Program": f"mbd {escape(__version__)}",
        "Model": f"<code>{escape(found.model)}</code>",
        "Core": escape(found.core),
        "Channels": escape(", ".join(found.modalities)),
        "Split": escape(found.split),
        "Cohort": escape(found.cohort),
        "Records": f"{found.records} of {found.subjects} people",
        "Seed of the masks": str(found.seed),
        "A missing frame is": escape(wording.FILLS[found.fill]),
    }
    notes = "".join(f"<p class=warning>{escape(one)}.</p>\n" for one in found.notes)
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return (
        f"<header><p class=kind>Evaluation</p><h1>{escape(found.dataset)}</h1>\n"
        "<p class=lead>How good one model is while something is missing or broken. Beside every "
        f"number stands a predictor that looks at nothing and says {escape(found.baseline)}."
        f"</p>\n{notes}<dl>{items}</dl></header>"
    )


def _protocol(found: Evaluation, name: str) -> str:
    rows = found.of(name)
    draw = _subset_plots if name == "subsets" else _curve_plots
    return _section(
        name,
        wording.LEADS[name],
        f"{draw(found, rows)}\n{_table(found, rows)}\n"
        f"<p class=digest>Masks <code>{found.mask_digest(name)}</code></p>",
    )


def _subset_plots(found: Evaluation, rows: Sequence[EvaluationRow]) -> str:
    figures = []
    for name in found.family.leading[:_PLOTTED]:
        title = f"{wording.METRICS[name]} of every subset of channels"
        figures.append(_measured(bars([_bar(row, name) for row in rows], title=title), name))
    said = Curve(f"{CONSTANT} on the same records", (), constant=True)
    return key([said]) + _grid(figures)


def _bar(row: EvaluationRow, name: str) -> Bar:
    low, high = _interval(row, name)
    label = row.available.replace("+", " + ")
    return Bar(label, row.metrics[name], low, high, row.baseline[name])


def _curve_plots(found: Evaluation, rows: Sequence[EvaluationRow]) -> str:
    names = list(dict.fromkeys(row.condition.series for row in rows))
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.partition(", ")[0] if ", " in name else "", []).append(name)
    parts = []
    for group, members in groups.items():
        chosen = [row for row in rows if row.condition.series in members]
        figures, shown = [], list[Curve]()
        for metric in found.family.leading[:_PLOTTED]:
            shown = _curves(chosen, metric)
            label = wording.X_LABELS[chosen[0].condition.protocol]
            title = f"{_name(metric)} against {label}"
            figures.append(_measured(curves(shown, title=title, x_label=label), metric))
        heading = f"<h3>{escape(group.capitalize())}</h3>" if group else ""
        parts.append(f"<div class=top>{heading}{key(shown)}</div>{_grid(figures)}")
    return "\n".join(parts)


def _curves(rows: Sequence[EvaluationRow], metric: str) -> list[Curve]:
    series: dict[str, list[EvaluationRow]] = {}
    for row in rows:
        series.setdefault(row.condition.series, []).append(row)
    made = [
        Curve(
            name.partition(", ")[2] or name,
            tuple(
                Point(r.condition.rate, r.metrics[metric], *_interval(r, metric)) for r in members
            ),
        )
        for name, members in series.items()
    ]
    first = next(iter(series.values()))
    flat = tuple(Point(r.condition.rate, r.baseline[metric]) for r in first)
    return [*made, Curve(CONSTANT, flat, constant=True)]


def _table(found: Evaluation, rows: Sequence[EvaluationRow]) -> str:
    columns = _columns(rows)
    names = [name for name in rows[0].metrics if name != "uar"]
    plotted = found.family.leading[:_PLOTTED]
    # Where everybody takes part, one row says what the constant predictor reaches.
    shared = all(row.baseline == rows[0].baseline for row in rows)
    heads = "".join(f"<th{kind}>{said}</th>" for said, kind, _ in columns)
    heads += "".join(f"<th class=num>{wording.SHORT[name]}</th>" for name in names)
    lines = []
    for row in rows:
        cells = "".join(f"<td{kind}>{show(row)}</td>" for _, kind, show in columns)
        cells += "".join(_cell(row, name, name in plotted, not shared) for name in names)
        lines.append(f"<tr>{cells}<td><code>{row.mask_digest[:8]}</code></td></tr>")
    if shared:
        values = "".join(f"<td class=num>{rows[0].baseline[name]:.3f}</td>" for name in names)
        said = f"<td colspan={len(columns)}>{CONSTANT}</td>"
        lines.append(f"<tr class=constant>{said}{values}<td></td></tr>")
    return (
        f"<div class=wide><table><thead><tr>{heads}<th>masks</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _columns(rows: Sequence[EvaluationRow]) -> list[Column]:
    """What a table says of each row before its metrics."""
    made: list[Column] = []
    if rows[0].available:
        made.append(("channels", "", lambda row: escape(row.available.replace("+", " + "))))
    elif len({row.condition.series for row in rows}) > 1:
        made.append(("condition", "", _series))
    if not rows[0].available:
        made.append((wording.RATES[rows[0].condition.protocol], NUMBER, _rate))
        if rows[0].missing is not None:
            made.append(("missing", NUMBER, lambda row: f"{row.missing:.3f}"))
    return [*made, ("n", NUMBER, lambda row: str(row.n))]


def _rate(row: EvaluationRow) -> str:
    return f"{row.condition.rate:g}"


def _series(row: EvaluationRow) -> str:
    condition = row.condition
    rates = ", ".join(f"{m} {rate:.2f}" for m, rate in sorted(condition.rates.items()))
    return escape(condition.series) + (f"<small>{escape(rates)}</small>" if rates else "")


def _cell(row: EvaluationRow, name: str, leading: bool, constant: bool) -> str:
    """The value, its interval if the metric leads, and below it the constant."""
    low, high = _interval(row, name)
    known = leading and low is not None
    between = f"<i>{low:.2f}–{high:.2f}</i>" if known else ""
    below = f"<small>{row.baseline[name]:.3f}</small>" if constant else ""
    return f"<td class=num>{between}{row.metrics[name]:.3f}{below}</td>"


def _skipped(found: Evaluation) -> str:
    return "\n".join(
        f"<section class=top><h2>{wording.TITLES[name]}</h2>\n<p class=note>Not measured: "
        f"{escape(reason)}.</p></section>"
        for name, reason in found.skipped.items()
    )


def _contributions(found: Evaluation) -> str:
    if not found.contributions:
        return ""
    figures = [
        _figure(
            f"{_name(one.metric)} <span>equity {one.equity:.2f}</span>",
            bars(
                [Bar(name, value) for name, value in sorted(one.shapley.items())],
                title=f"Shapley values of {wording.METRICS[one.metric]}",
                colour=COLOURS[2],
            ),
        )
        for one in found.contributions[:_PLOTTED]
    ]
    said = wording.SHAPLEY.format(n=found.contributions[0].n)
    return _section("contributions", said, _grid(figures))


def _gradients(found: Evaluation) -> str:
    if found.gradients is None:
        return ""
    norms = found.gradients.norms
    scale = max(norms.values()) or 1.0
    shown = [Bar(name, value / scale) for name, value in sorted(norms.items())]
    drawn = bars(shown, title="Gradient norms by encoder", colour=COLOURS[3])
    caption = f"Norm <span>relative to the largest, {scale:.2e}</span>"
    said = wording.GRADIENTS.format(n=found.gradients.n, imbalance=found.gradients.imbalance)
    return _section("gradients", said, _grid([_figure(caption, drawn)]))


def _section(name: str, lead: str, content: str) -> str:
    """A heading that stays with its first paragraph on paper, and the rest."""
    top = f"<div class=top><h2>{wording.TITLES[name]}</h2>\n<p>{lead}</p></div>"
    return f'<section id="{name}">{top}\n{content}</section>'


def _method(found: Evaluation) -> str:
    said = [
        f"{wording.FAMILIES[found.family.name]} {wording.DEGENERATE}",
        wording.MASKS,
        wording.INTERVALS.format(count=REPLICATES),
        wording.TABLES,
    ]
    paragraphs = "\n".join(f"<p>{one}</p>" for one in said[1:])
    return _section("method", said[0], paragraphs)


def _measured(drawn: str, metric: str) -> str:
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    return _figure(f"{_name(metric)} <span>{better} is better</span>", drawn)


def _figure(caption: str, drawn: str) -> str:
    return f"<figure><figcaption>{caption}</figcaption>{drawn}</figure>"


def _grid(figures: Sequence[str]) -> str:
    return f"<div class=grid>{''.join(figures)}</div>"


def _name(metric: str) -> str:
    return escape(wording.METRICS[metric])


def _interval(row: EvaluationRow, name: str) -> tuple[float, float] | tuple[None, None]:
    return row.intervals.get(name, (None, None))
