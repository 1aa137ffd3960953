"""The report says everything that was measured, needs nothing else, and is well formed."""

import re
from datetime import date
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbd import __version__
from mbd.data.synthetic import synthesise
from mbd.evaluation import wording
from mbd.evaluation.conditions import PROTOCOLS, Setting, conditions
from mbd.evaluation.diagnostics import Gradients, contributions
from mbd.evaluation.intervals import Resamples
from mbd.evaluation.metrics import FAMILIES, family_of
from mbd.evaluation.outcome import Evaluation
from mbd.evaluation.page import page
from mbd.evaluation.plots import Bar, Curve, Point, bars, curves, ticks
from mbd.evaluation.protocol import Trial, ask

HOSTILE = "<b onload=alert(1)>&\"'"
VOID = {"meta", "br"}


def evaluation(protocols=tuple(PROTOCOLS), **changed) -> Evaluation:
    records, schema = synthesise(users=8, records=40, seed=1)
    scales = {info.name: np.ones(info.width) for info in schema.modalities}
    setting = Setting(modalities=schema.names, scales=scales)
    trial = Trial(
        lambda chosen, p: np.full((len(chosen), 1), len(p) / 10),
        records, schema.task, family_of(schema.task), np.zeros(1), Resamples(records.subjects),
    )  # fmt: skip
    rows = ask(trial, [one for name in protocols for one in conditions(name, setting)])
    values = {
        "model": HOSTILE, "core": "none", "dataset": HOSTILE, "modalities": schema.names,
        "baseline": HOSTILE, "family": trial.family, "split": "test", "cohort": "all",
        "seed": 0, "fill": "drop", "records": len(records), "subjects": 8, "rows": tuple(rows),
        "skipped": {}, "contributions": tuple(contributions(trial, schema.names)),
    }  # fmt: skip
    return Evaluation(**{**values, **changed})


EVERYTHING = evaluation()
REPORT = page(EVERYTHING)


class Balanced(HTMLParser):
    """Every element is closed, and none is one of ours that was said by data."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_element_is_closed_and_what_data_says_stays_text():
    parser = Balanced()
    parser.feed(REPORT)

    assert parser.open == []
    assert "onload" not in parser.attributes
    assert "<b " not in REPORT
    assert REPORT.count("&lt;b onload=alert(1)&gt;") >= 4


def test_nothing_is_fetched_and_nothing_runs():
    assert "<script" not in REPORT
    assert not re.search(r"https?:|url\(|@import|<link|<img|<iframe", REPORT)
    assert not re.search(r"\s(src|href)\s*=", REPORT)


def test_each_plot_is_xml():
    plots = re.findall(r"<svg.*?</svg>", REPORT, re.DOTALL)
    assert len(plots) > 12
    for plot in plots:
        ElementTree.fromstring(plot)
        assert "nan" not in plot


def test_every_row_stands_in_it_with_its_number_of_records_and_its_constant():
    for row in EVERYTHING.rows:
        assert row.mask_digest[:8] in REPORT
        assert f">{row.n}</td>" in REPORT
        for name, value in row.metrics.items():
            assert f"{value:.3f}" in REPORT
            assert f"{row.baseline[name]:.3f}" in REPORT
    for name in EVERYTHING.protocols:
        assert EVERYTHING.mask_digest(name) in REPORT
        section = REPORT.split(f'<section id="{name}">')[1].split("</section>")[0]
        assert section.count("constant predictor") >= 1
        assert section.count("stroke-dasharray") >= 2


def test_the_page_says_when_and_with_which_program_it_was_made():
    told = page(EVERYTHING, date(2026, 1, 31))
    assert "<dt>Date</dt><dd>2026-01-31</dd>" in told
    assert f"<dt>Program</dt><dd>mbd {__version__}</dd>" in told


def test_no_heading_is_parted_from_its_text_on_paper():
    """Each heading lies in a block that paper does not break, with a text or key of its own."""
    told = page(evaluation(skipped={"gradients": "no core"}))
    tops = re.findall(r"class=top>(.*?)</(?:div|section)>", told, re.DOTALL)
    assert sum(one.count("<h2>") + one.count("<h3>") for one in tops) == (
        told.count("<h2>") + told.count("<h3>")
    )
    assert all(re.search(r"</h[23]>\s*<p", one) for one in tops if "<h" in one)
    assert ".top { break-inside: avoid; break-after: avoid; }" in told


def test_what_was_not_measured_says_why():
    told = page(
        evaluation(
            ("subsets",), skipped=dict.fromkeys(("whole", "gradients"), HOSTILE), contributions=()
        )
    )
    assert told.count("Not measured: &lt;b") == 2
    for name in ("whole", "gradients"):
        assert wording.TITLES[name] in told
    assert wording.TITLES["contributions"] not in told


def test_gradient_norms_are_drawn_with_their_imbalance():
    told = page(evaluation(("subsets",), gradients=Gradients(7, {"audio": 3.0, "text": 1.0})))
    assert "on 7 validation records" in told
    assert "= 0.50" in told


def test_every_metric_has_a_name():
    for family in FAMILIES.values():
        assert set(family.compute(np.zeros(2), np.zeros(2))) <= set(wording.SHORT)
    assert set(wording.TITLES) > set(wording.LEADS) == set(PROTOCOLS)
    assert set(wording.FAMILIES) == set(FAMILIES)


numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))


@given(numbers, numbers)
def test_ticks_are_few_rise_evenly_and_enclose(one, other):
    low, high = sorted((one, other))

    found = ticks(low, high)

    assert 2 <= len(found) <= 8
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert found[0] <= low + slack
    assert high - slack <= found[-1]
    steps = np.diff(found)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-4)
    assert steps[0] > 0


@given(st.lists(numbers, min_size=1, max_size=9))
def test_any_values_can_be_drawn_inside_the_picture(values):
    points = tuple(Point(float(k), value) for k, value in enumerate(values))
    drawn = [
        curves([Curve("a", points), Curve("b", points, constant=True)], title="t", x_label="x"),
        bars([Bar(str(k), value, constant=0.0) for k, value in enumerate(values)], title="t"),
    ]
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for circle in root.iter("circle"):
            assert 0 <= float(circle.attrib["cx"]) <= width
            assert 0 <= float(circle.attrib["cy"]) <= height
        for rect in root.iter("rect"):
            assert 0 <= float(rect.attrib["x"]) <= width
            assert float(rect.attrib["x"]) + float(rect.attrib["width"]) <= width


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_one_protocol_makes_a_page_of_its_own(protocol):
    told = page(evaluation((protocol,)))
    assert wording.TITLES[protocol] in told
    assert sum(f'<section id="{name}">' in told for name in PROTOCOLS) == 1
