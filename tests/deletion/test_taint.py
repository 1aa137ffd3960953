"""Engines that leave a tainted block as it was, or touch another one, by provenance and digests."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.deletion.plan import BlockAction, BlockProvenance, DeletionPlan, plan
from mbd.deletion.taint import (
    ModelFacts,
    Removal,
    check_declared,
    check_taint,
    files_of,
    reached,
)
from mbd.errors import ArithmeticRefused
from mbd.values import (
    COHORTS,
    FileDigest,
    availability_name,
    nonempty_subsets,
    parse_availability,
)

MODALITIES = ("audio", "text", "vision")
HEADS = tuple(availability_name(p) for p in nonempty_subsets(MODALITIES))
FROZEN = ("core", "policy", "scaler")
ROWS = dict.fromkeys(HEADS, 2)


def model(core: bool = True) -> ModelFacts:
    """A model whose frozen blocks learned from the foundation, and heads from the others."""
    frozen = [kind for kind in FROZEN if core or kind != "core"]
    blocks = [
        BlockProvenance(
            name=kind,
            kind=kind,
            cohorts=frozenset({"foundation"}),
            modalities=frozenset(MODALITIES),
        )
        for kind in frozen
    ] + [
        BlockProvenance(
            name=name,
            kind="head",
            cohorts=frozenset(COHORTS) - ({"foundation"} if core else frozenset()),
            modalities=parse_availability(name),
        )
        for name in HEADS
    ]
    paths = sorted({path for block in blocks for path in files_of(block)})
    return ModelFacts(
        provenance=tuple(blocks),
        files=tuple(FileDigest(path=path, sha256=f"old {path}") for path in paths),
        states={name: (f"old {name}", 40) for name in HEADS},
        training_id="first",
        policy_entry=3,
    )


def removal(*modalities, rows=None, method="auto", cohort="revocable", core=True) -> Removal:
    rows = ROWS if rows is None else rows
    decided = plan(
        model(core).provenance,
        subject_cohort=cohort,
        modalities=frozenset(modalities),
        rows=rows,
        method=method,
    )
    return Removal(cohort=cohort, rows=rows, plan=decided)


def retraining(*modalities, cohort="foundation", rows=None, core=True) -> Removal:
    """A request that every block is made again for."""
    actions = [
        BlockAction(block=block.name, kind=block.kind, action="retrain", guarantee="exact")
        for block in model(core).provenance
    ]
    decided = DeletionPlan(
        modalities=tuple(sorted(modalities)),
        method="retrain",
        guarantee_class="exact",
        selected=HEADS,
        untouched=(),
        actions=tuple(actions),
    )
    return Removal(cohort=cohort, rows={} if rows is None else rows, plan=decided)


def with_files(facts: ModelFacts, changed) -> ModelFacts:
    """The model with other bits in some of its files."""
    files = [replace(f, sha256=f"new {f.path}") if f.path in changed else f for f in facts.files]
    return replace(facts, files=tuple(files))


def with_states(facts: ModelFacts, changed) -> ModelFacts:
    states = {
        name: (f"new {name}", 38) if name in changed else state
        for name, state in facts.states.items()
    }
    return replace(facts, states=states)


def head_file(name: str) -> str:
    return f"heads/{name}.safetensors"


def subtracted(removals, core: bool = True) -> ModelFacts:
    """What an honest engine makes of them."""
    selected = {name for one in removals for name in one.plan.selected}
    losing = {name for one in removals for name in HEADS if one.subtracted(name)}
    made = with_files(model(core), {head_file(name) for name in selected})
    return with_states(made, losing)


def trained_again(core: bool = True) -> ModelFacts:
    before = model(core)
    made = with_states(with_files(before, {file.path for file in before.files}), HEADS)
    return replace(made, training_id="second", policy_entry=7)


def refusal(*args) -> ArithmeticRefused:
    with pytest.raises(ArithmeticRefused) as refused:
        check_taint(*args)
    return refused.value


people = st.builds(
    lambda modalities, rows, method: removal(*modalities, rows=rows, method=method),
    st.sets(st.sampled_from(MODALITIES), min_size=1),
    st.dictionaries(st.sampled_from(HEADS), st.integers(0, 3)),
    st.sampled_from(["surgical", "exact"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(people, min_size=1, max_size=4))
def test_an_honest_batch_passes_and_no_bit_of_it_can_be_left_out_or_added(removals):
    after = subtracted(removals)

    check_taint(model(), after, removals)

    losing = {name for one in removals for name in HEADS if one.subtracted(name)}
    noised = {
        action.block
        for one in removals
        for action in one.plan.actions
        if action.action == "subtract-and-release"
    }
    selected = {name for one in removals for name in one.plan.selected}
    old, new = ({f.path: f.sha256 for f in facts.files} for facts in (model(), after))
    for path in old:
        flipped = {p for p in old if old[p] != new[p]} ^ {path}
        lying = with_states(with_files(model(), flipped), losing)
        name = path.removeprefix("heads/").removesuffix(".safetensors")
        if name in losing | noised:
            assert refusal(model(), lying, removals).code == "taint.untouched", path
        elif name not in selected:
            assert refusal(model(), lying, removals).code == "taint.changed", path
        else:  # solved again from a state that lost nothing: the same head is the right one
            check_taint(model(), lying, removals)
    for name in HEADS:
        lying = with_states(with_files(model(), set(map(head_file, selected))), losing ^ {name})
        expected = "taint.untouched" if name in losing else "taint.changed"
        assert refusal(model(), lying, removals).code == expected, name


def test_a_batch_takes_the_union_of_what_its_requests_replace():
    batch = [removal("audio"), removal("text", rows={"text": 1})]
    after = subtracted(batch)

    check_taint(model(), after, batch)
    for one in batch:
        assert refusal(model(), after, [one]).code == "taint.changed"
    for one in batch:
        assert refusal(model(), subtracted([one]), batch).code == "taint.untouched"


def test_a_request_that_finds_no_row_changes_nothing():
    absent = removal("audio", rows={"text": 4})

    check_taint(model(), model(), [absent])
    check_taint(model(), subtracted([removal("text")]), [absent, removal("text")])
    assert refusal(model(), subtracted([removal("text")]), [absent]).code == "taint.changed"


def keeping(request: Removal, *blocks: str) -> Removal:
    """The same request under a plan that keeps some blocks."""
    actions = tuple(
        replace(action, action="keep") if action.block in blocks else action
        for action in request.plan.actions
    )
    selected = tuple(name for name in request.plan.selected if name not in blocks)
    return replace(request, plan=replace(request.plan, actions=actions, selected=selected))


def test_a_plan_that_keeps_a_head_with_rows_is_refused_whatever_others_do_to_that_head():
    lazy = keeping(removal("audio"), "audio+text")

    assert refusal(model(), subtracted([lazy]), [lazy]).field == "audio+text"
    both = [lazy, removal("text")]
    assert refusal(model(), subtracted(both), both).code == "taint.untouched"


def test_a_plan_that_replaces_a_head_of_other_channels_is_refused():
    honest = removal("audio")
    eager = tuple(
        replace(action, action="subtract-and-release") if action.block == "text" else action
        for action in honest.plan.actions
    )
    selected = tuple(sorted((*honest.plan.selected, "text")))
    request = replace(honest, plan=replace(honest.plan, actions=eager, selected=selected))

    refused = refusal(model(), subtracted([request]), [request])

    assert (refused.code, refused.field) == ("taint.changed", "text")


def test_a_plan_that_selects_other_heads_than_it_replaces_is_refused():
    honest = removal("audio")
    shown = replace(honest, plan=replace(honest.plan, selected=honest.plan.selected[:-1]))

    assert refusal(model(), subtracted([honest]), [shown]).code == "taint.undeclared"


@pytest.mark.parametrize("kind", FROZEN)
def test_a_subject_that_a_frozen_block_saw_reaches_the_whole_model(kind):
    before = model()
    blocks = [
        replace(block, cohorts=frozenset()) if block.kind in set(FROZEN) - {kind} else block
        for block in before.provenance
    ]

    assert reached(blocks, "foundation", frozenset({"audio"}), {}) == {b.name for b in blocks}
    assert reached(blocks, "revocable", frozenset({"audio"}), {"audio": 1, "text": 1}) == {"audio"}
    assert reached(blocks, "revocable", frozenset({"audio"}), {}) == frozenset()


def test_rows_cannot_be_subtracted_from_what_a_frozen_block_learned():
    """The planner refuses; an engine that went on regardless is refused here."""
    regardless = replace(removal("audio"), cohort="foundation", rows={})

    refused = refusal(model(), subtracted([regardless]), [regardless])

    assert (refused.code, refused.field) == ("taint.untouched", "core")
    actions = tuple(replace(one, action="subtract-and-solve") for one in regardless.plan.actions)
    forced = replace(regardless, plan=replace(regardless.plan, actions=actions, selected=HEADS))
    refused = refusal(model(), subtracted([forced]), [forced])
    assert (refused.code, refused.field) == ("taint.untouched", "core")
    assert "cannot be subtracted" in refused.message


def test_retraining_passes_also_where_nothing_depended_on_the_data():
    request = retraining("audio", rows={})
    before = model()
    policy_alone = replace(
        with_files(before, {"policy.json"}), training_id="second", policy_entry=7
    )

    check_taint(before, trained_again(), [request])
    check_taint(before, policy_alone, [request])
    check_taint(model(False), trained_again(False), [retraining("text", rows=ROWS, core=False)])


@pytest.mark.parametrize(
    "lie",
    [
        lambda before, after: before,
        lambda before, after: replace(after, training_id=before.training_id),
        lambda before, after: replace(after, policy_entry=before.policy_entry),
        lambda before, after: replace(after, policy_entry=before.policy_entry - 1),
        lambda before, after: replace(after, files=before.files),
    ],
    ids=["nothing", "same training", "same entry", "earlier entry", "same files"],
)
def test_retraining_that_did_not_happen_is_refused(lie):
    lied = lie(model(), trained_again())

    assert refusal(model(), lied, [retraining("audio")]).code == "taint.untouched"


def test_retraining_that_kept_a_head_or_state_with_rows_is_refused():
    request, before, after = retraining("text", rows=ROWS, core=False), model(False), None
    after = trained_again(False)
    old = {file.path: file for file in before.files}
    for name in HEADS:
        kept_file = replace(
            after, files=tuple(old[f.path] if f.path == head_file(name) else f for f in after.files)
        )
        kept_state = replace(after, states={**after.states, name: before.states[name]})
        for lied in (kept_file, kept_state):
            if "text" in name.split("+"):
                assert refusal(before, lied, [request]).field == name
            else:
                check_taint(before, lied, [request])


def test_queued_requests_share_one_retraining_and_each_needs_it_in_its_plan():
    batch = [retraining("audio"), retraining("text", cohort="revocable", rows={"text": 2})]

    check_taint(model(), trained_again(), batch)
    shirking = keeping(batch[0], "scaler")
    assert refusal(model(), trained_again(), [shirking, batch[1]]).field == "scaler"
    mixed = [batch[0], removal("audio")]
    assert refusal(model(), trained_again(), mixed).code == "taint.mixed"


def block(facts: ModelFacts, name: str) -> BlockProvenance:
    return next(found for found in facts.provenance if found.name == name)


def declaring(facts: ModelFacts, name: str, **changes) -> ModelFacts:
    blocks = [replace(b, **changes) if b.name == name else b for b in facts.provenance]
    return replace(facts, provenance=tuple(blocks))


def without_block(facts: ModelFacts, name: str) -> ModelFacts:
    return replace(facts, provenance=tuple(b for b in facts.provenance if b.name != name))


def with_file(facts: ModelFacts, path: str) -> ModelFacts:
    return replace(facts, files=(*facts.files, FileDigest(path=path, sha256="more")))


def without_file(facts: ModelFacts, path: str) -> ModelFacts:
    return replace(facts, files=tuple(file for file in facts.files if file.path != path))


@pytest.mark.parametrize(
    ("defect", "field"),
    [
        (lambda m: with_file(m, "tokenizer.json"), "tokenizer.json"),
        (lambda m: with_file(m, "heads/smell.safetensors"), "heads/smell.safetensors"),
        (lambda m: with_file(m, "policy.json"), "policy.json"),
        (lambda m: without_file(m, "heads/text.safetensors"), "heads/text.safetensors"),
        (lambda m: without_file(m, "core.json"), "core.json"),
        (lambda m: without_block(m, "core"), "core.json"),
        (lambda m: without_block(m, "scaler"), "scaler"),
        (lambda m: without_block(m, "policy"), "policy"),
        (lambda m: without_block(m, "text"), "heads/text.safetensors"),
        (lambda m: declaring(m, "text", modalities=frozenset({"text", "audio"})), "text"),
        (lambda m: declaring(m, "audio+text", modalities=frozenset({"text"})), "audio+text"),
        (lambda m: declaring(m, "text", modalities=frozenset()), "text"),
        (lambda m: replace(m, provenance=(*m.provenance, block(m, "text"))), "text"),
        (lambda m: replace(m, states={**m.states, "smell": ("x", 1)}), "smell"),
        (lambda m: replace(m, states={n: s for n, s in m.states.items() if n != "text"}), "text"),
    ],
)
def test_what_has_no_declared_origin_is_refused_before_and_after(defect, field):
    odd, request = defect(model()), removal("audio")
    for found in ((odd, subtracted([request])), (model(), defect(subtracted([request])))):
        refused = refusal(*found, [request])
        assert (refused.code, refused.field) == ("taint.undeclared", field)
    with pytest.raises(ArithmeticRefused):
        check_declared(odd)


def test_a_declaration_cannot_change_without_a_training():
    request = removal("audio")
    for name, changes in (
        ("core", {"cohorts": frozenset()}),
        ("scaler", {"modalities": frozenset({"text"})}),
    ):
        after = declaring(subtracted([request]), name, **changes)
        assert refusal(model(), after, [request]).code == "taint.changed"
    for changes in ({"training_id": "second"}, {"policy_entry": 4}):
        after = replace(subtracted([request]), **changes)
        assert refusal(model(), after, [request]).code == "taint.changed"


def test_rows_that_a_head_denies_are_refused():
    """Nothing of the foundation is in the heads of a trained core, says the declaration."""
    request = replace(retraining("audio"), rows={"audio": 1})
    unknown = replace(removal("audio"), rows={"smell": 1})

    assert refusal(model(), trained_again(), [request]).code == "taint.undeclared"
    assert refusal(model(), model(), [unknown]).code == "taint.undeclared"


def test_a_plan_for_other_blocks_is_refused():
    request = removal("audio", core=False)

    assert refusal(model(), subtracted([request]), [request]).code == "taint.undeclared"


def test_the_check_needs_no_weights():
    """It runs where releases are announced, also without the libraries that learn."""
    code = (
        "import sys, mbd.deletion.taint\n"
        "assert not {'torch', 'scipy', 'numpy', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
