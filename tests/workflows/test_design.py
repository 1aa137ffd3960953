"""What a design decides beside the core: feature maps, lambda, and what the policy says of them."""

from dataclasses import replace

import numpy as np
import pytest

from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.data.synthetic import synthesise
from mbd.head.selection import Choice, HeadChoice
from mbd.model.inference import Extractor
from mbd.model.scaling import scaler_from_ranges
from mbd.values import ModalityInfo, nonempty_subsets
from mbd.verify.model_policy import parse_policy
from mbd.workflows import head_design
from mbd.workflows.design import Design, _better, design_model
from mbd.workflows.head_design import HeadDesigner, Judged
from mbd.workflows.policy import HeadDesign, Policy
from mbd.workflows.recipe import Recipe
from mbd.workspace.settings import HeadSettings, Settings

RECORDS, SCHEMA = synthesise(users=12, records=120, seed=2)
SETTINGS = Settings(format=1, id="x", issuer="x", origin="x")
NARROW = 320


def designed(records: Records, schema: DatasetSchema, **heads: object) -> Design:
    settings = SETTINGS.model_copy(update={"heads": HeadSettings(**heads)})
    recipe = Recipe.of(settings, core="none", seed=0, device="cpu")
    return design_model(records, schema, recipe, training_id="t")


@pytest.mark.parametrize("width", [700, 1024])
def test_wide_inputs_get_a_lambda_that_can_be_served(width):
    """More inputs than rows, which they predict exactly: the loss alone asks for none at all."""
    rng = np.random.default_rng(0)
    shown = RECORDS.labels[:, None] * rng.normal(size=width)
    x = {"text": tuple(row[None].astype(np.float32) for row in shown)}
    schema = replace(SCHEMA, modalities=(ModalityInfo(name="text", width=width, max_length=1),))

    made = designed(replace(RECORDS, x=x), schema, width=2048, planned_rows=10_000_000)

    assert made.policy.heads["text"].constants.scale.strong_convexity > 2.0**-8


def one_input(
    x: np.ndarray, labels: np.ndarray, **changed: object
) -> tuple[Records, DatasetSchema]:
    """The records with a single number in a single channel."""
    schema = replace(SCHEMA, modalities=(ModalityInfo(name="text", width=1, max_length=1),))
    column = tuple(np.full((1, 1), value, np.float32) for value in x)
    return replace(RECORDS, x={"text": column}, labels=labels, **changed), schema


def test_the_bandwidth_of_each_head_is_chosen_on_foundation_rows_alone():
    """A label that turns quickly along one input asks for high frequencies; revocable rows do not.

    Theirs turn slowly, so whoever looked at them would choose low ones.
    """
    x = np.random.default_rng(3).uniform(-1, 1, len(RECORDS))
    turned = np.where(np.array(RECORDS.cohorts) == "foundation", 6, 0.1)
    shown = one_input(x, np.sin(turned * x))

    chosen = designed(*shown, width=256).policy.heads["text"].feature_map
    fixed = designed(*shown, width=256, frequency_std=0.5).policy.heads["text"].feature_map

    assert chosen.frequency_std > 1.0
    assert fixed.frequency_std == 0.5


@pytest.fixture
def small_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_design, "WIDTHS", (NARROW, 512))


def heads_of(made: Design) -> dict[str, HeadDesign]:
    return dict(made.policy.heads)


@pytest.mark.usefixtures("small_widths")
def test_nothing_is_chosen_by_looking_at_a_revocable_row():
    """Other values and labels of everybody revocable; then of one foundation row."""
    before = heads_of(designed(RECORDS, SCHEMA))
    revocable = [one == "revocable" for one in RECORDS.cohorts]

    assert heads_of(designed(planted(revocable), SCHEMA)) == before
    assert heads_of(designed(planted([not one for one in revocable]), SCHEMA)) != before


def planted(where: list[bool]) -> Records:
    """The same records, but with other values and labels in some."""
    rng = np.random.default_rng(0)
    x = {
        name: tuple(
            rng.normal(size=value.shape).astype(np.float32) if value is not None and here else value
            for value, here in zip(column, where, strict=True)
        )
        for name, column in RECORDS.x.items()
    }
    return replace(RECORDS, x=x, labels=np.where(where, -RECORDS.labels, RECORDS.labels))


@pytest.mark.usefixtures("small_widths")
def test_a_head_is_wide_where_that_helps_and_narrow_elsewhere():
    """Eight inputs that act together need many cosines; a straight line needs none."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(len(RECORDS), 8)).astype(np.float32)
    records = replace(
        RECORDS,
        x={"text": tuple(x[:, None]), "voice": tuple(x[:, None, :1])},
        labels=np.sin(3 * x[:, 0]) + x[:, 0],
        cohorts=("foundation",) * len(RECORDS),
    )
    infos = [
        ModalityInfo(name=name, width=w, max_length=1) for name, w in (("text", 8), ("voice", 1))
    ]
    heads = heads_of(designed(records, replace(SCHEMA, modalities=tuple(infos))))

    assert (heads["text"].feature_map.width, heads["voice"].feature_map.width) == (512, NARROW)


def test_widths_are_limited_by_what_the_states_of_all_heads_take():
    few = [ModalityInfo(name=f"m{i}", width=4, max_length=1, range=(-1, 1)) for i in range(4)]

    assert widths_tried(few[:2]) == (2048, 4096)
    assert widths_tried(few) == (2048,)


def test_wide_inputs_get_a_head_that_has_room_for_them():
    wide = ModalityInfo(name="m", width=3000, max_length=1, range=(-1, 1))

    assert widths_tried([wide]) == (3264, 4096)


def test_a_lambda_that_was_judged_on_shorter_rows_becomes_one_that_can_be_served():
    wide = ModalityInfo(name="m", width=3000, max_length=1, range=(-1, 1))
    judged = Choice(2.0**-8, np.zeros(0), None)
    designer, name = designer_of([wide], planned_rows=10_000_000, noise=1e-6), "m"

    made = designer.heads({name: Judged(HeadChoice(4096, 1.0, judged), ())})[name]

    assert made.constants.scale.strong_convexity > judged.strong_convexity


def widths_tried(infos: list[ModalityInfo]) -> tuple[int, ...]:
    designer = designer_of(infos)
    return designer.widths(designer.subsets[-1])


def designer_of(infos: list[ModalityInfo], **heads: object) -> HeadDesigner:
    schema = replace(SCHEMA, modalities=tuple(infos))
    settings = SETTINGS.model_copy(update={"heads": HeadSettings(**heads)})
    recipe = Recipe.of(settings, core="none", seed=0, device="cpu")
    family = list(nonempty_subsets(schema.names))
    extractor = Extractor(scaler_from_ranges(infos), family, None, (0.0,))
    return HeadDesigner(schema, recipe, extractor)


@pytest.mark.usefixtures("small_widths")
@pytest.mark.parametrize("cohort", ["foundation", "calibration"])
@pytest.mark.parametrize("case", ["one row", "one person", "constant"])
def test_little_to_choose_on_is_enough(case: str, cohort: str):
    x = np.random.default_rng(0).normal(size=len(RECORDS))
    few = {"one row": 1, "one person": 10, "constant": len(RECORDS)}[case]
    cohorts = [cohort] * few + ["revocable"] * (len(RECORDS) - few)
    if case == "constant":
        x = np.ones(len(RECORDS))
    records, schema = one_input(x, RECORDS.labels, cohorts=tuple(cohorts))
    if case == "one person":
        records = replace(records, subjects=("first",) * few + records.subjects[few:])

    made = designed(records, schema).policy.heads["text"]

    assert made.feature_map.width == NARROW
    assert made.feature_map.frequency_std == 1.0


def test_a_verifier_reads_a_policy_that_says_how_it_was_chosen_or_set():
    for chosen in ({}, {"frequency_std": 1.0, "strong_convexity": 2.0}):
        made = designed(RECORDS, SCHEMA, width=256, **chosen).policy

        assert parse_policy(made.to_bytes()).recipe is not None
        assert Policy.from_bytes(made.to_bytes()) == made


class Judge:
    """A designer whose heads lose so much on each person's rows, and whom they learned from."""

    def __init__(self, losses: dict[str, float]) -> None:
        self.losses = losses
        self.learned: list[str] = []

    def judge(self, records: Records, *, quickly: bool = False) -> dict[str, Judged]:
        self.learned = sorted(set(records.subjects))
        losses = np.array([self.losses[one] for one in records.subjects])
        choice = HeadChoice(NARROW, 1.0, Choice(1.0, losses, None))
        return {"text": Judged(choice, tuple(records.subjects))}


def test_a_core_is_compared_on_people_it_has_not_seen_as_each_will_learn():
    """The other half alone judges; heads without a core have learned from both halves."""
    everybody = RECORDS.where(subjects=("0", "1", "2", "3"))
    others = everybody.where(subjects=("2", "3"))
    core = Judge({"2": 0.4, "3": 0.6})
    plain = Judge({"0": 0.0, "1": 0.0, "2": 0.5, "3": 0.7})
    said: list[str] = []

    assert _better(core, plain, everybody, others, said.append)
    assert (core.learned, plain.learned) == (["2", "3"], ["0", "1", "2", "3"])
    assert "0.5000 with a core, 0.6000 without" in said[0]
    assert not _better(plain, plain, others, others, said.append)
