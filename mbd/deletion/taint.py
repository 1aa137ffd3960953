"""Did a release replace every block that learned from the removed data, and nothing else?

Asked before anything is signed, of declared provenance, of the plans, and of digests: no data,
no weights. An engine that forgets a block, or touches one that it promised to leave alone, is
refused whatever it says about itself.

What digests can show: that every file has a declared origin; that a block which had to be
replaced is not the old one bit for bit; that all others are; that a training ran again and
was announced again. What they cannot show: that a declaration is complete (tests perturb a
person's data and look at every released number), that a replaced head is the optimum of its
state (`mbd.deletion.check`), or that the training which ran again left the data out: that is
asked of the records it was given and of the rows it made, before a release is recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from mbd.deletion.plan import BlockProvenance, DeletionPlan
from mbd.errors import ArithmeticRefused
from mbd.values import Availability, Cohort, FileDigest, parse_availability

_SUBTRACTED = frozenset({"subtract-and-release", "subtract-and-solve"})
_NOISED = "subtract-and-release"
_RETRAINED = "retrain"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What manifests, pointers and the ledger say of a model; nothing of it is opened."""

    provenance: Sequence[BlockProvenance]
    files: Sequence[FileDigest]
    """The manifest: every released file."""
    states: Mapping[str, tuple[str, int]]
    """Digest and rows of each head's state."""
    training_id: str
    policy_entry: int
    """Index of the policy's ledger entry."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """One request that the release carries out."""

    cohort: Cohort
    """Of the subject."""
    rows: Mapping[str, int]
    """Rows of the subject per head in the state before, also in heads that keep them."""
    plan: DeletionPlan

    @property
    def modalities(self) -> Availability:
        """What is revoked, closed under derivation."""
        return frozenset(self.plan.modalities)

    def subtracted(self, head: str) -> bool:
        """Whether rows of this subject leave this head."""
        return self.rows.get(head, 0) > 0 and bool(parse_availability(head) & self.modalities)


def files_of(block: BlockProvenance) -> tuple[str, ...]:
    """The files of a model folder that hold a block; scaler and policy share one."""
    if block.kind == "core":
        return ("core.json", "core.safetensors")
    if block.kind == "head":
        return (f"heads/{block.name}.safetensors",)
    return ("policy.json",)


def reached(
    blocks: Sequence[BlockProvenance],
    cohort: Cohort,
    modalities: Availability,
    rows: Mapping[str, int],
) -> frozenset[str]:
    """Names of the blocks that depend on a subject's modalities, by declaration.

    A head does through its rows. What everything else is computed from (scaling, core,
    settings) hands on what it saw to the whole model, also to heads of other channels.

    Args:
        blocks: Every block of the model.
        cohort: Of the subject.
        modalities: Revoked ones, closed under derivation.
        rows: Rows of the subject per head.
    """
    saw = [block for block in blocks if cohort in block.cohorts and block.modalities & modalities]
    if any(block.kind != "head" for block in saw):
        return frozenset(block.name for block in blocks)
    return frozenset(block.name for block in saw if rows.get(block.name, 0) > 0)


def check_declared(model: ModelFacts) -> None:
    """Refuse a model of which something has no declared origin.

    Raises:
        ArithmeticRefused: `taint.undeclared`: a file or a state belongs to no declared block, a
            declared block has no file, or a head declares other modalities than its own.
    """
    names = [block.name for block in model.provenance]
    for name, count in Counter(names).items():
        if count > 1:
            _undeclared(name, "is declared more than once")
    kinds: Counter[str] = Counter(block.kind for block in model.provenance)
    for kind, wanted in (("scaler", (1,)), ("policy", (1,)), ("core", (0, 1))):
        if kinds[kind] not in wanted:
            _undeclared(kind, f"there are {kinds[kind]} declarations of it")
    heads = {block.name: block for block in model.provenance if block.kind == "head"}
    for name, block in heads.items():
        if block.modalities != parse_availability(name):
            declared = "+".join(sorted(block.modalities)) or "nothing"
            _undeclared(name, f"a head of {name} that declares to read {declared}")
    declared_files = {path for block in model.provenance for path in files_of(block)}
    paths = [file.path for file in model.files]
    _refuse_unmatched("file", paths, declared_files)
    _refuse_unmatched("state", list(model.states), heads)


def check_taint(before: ModelFacts, after: ModelFacts, removals: Sequence[Removal]) -> None:
    """Refuse a release that keeps a tainted block, or touches an untainted one.

    One release carries out all of `removals`: a block is replaced if any of them asks for it.

    - A block that a removal reaches must be replaced by that removal's own plan.
    - A head that rows leave: its state and its file are other than before, without exception;
      the same bits by coincidence could not be told from a head that was left alone. A head
      that is released with new noise is another file even if no row left it.
    - What no plan replaces is the same bit for bit.
    - Retraining shows in a new training, announced by a later policy entry. Other bits are
      demanded only where rows leave a head: nothing here says what a scaler or a core was
      computed from, and one that is computed again without data that made no difference (a
      test record) is rightly the same. That the data was left out is not shown here.

    Args:
        before: The model and state that the requests found.
        after: Those about to be activated or certified.
        removals: Every request of the batch.

    Raises:
        ArithmeticRefused: `taint.undeclared`, as `check_declared`, or a head holds rows of a
            cohort that it does not declare; `taint.untouched`: a block that had to be replaced
            is the old one, or the plan keeps it; `taint.changed`: a block that had to stay is
            another, or a plan replaces it; `taint.mixed`: one release both subtracts rows and
            trains again.
    """
    for model in (before, after):
        check_declared(model)
    for removal in removals:
        _check_plan(before.provenance, removal)
    subtracted = _under(removals, _SUBTRACTED)
    retrained = _under(removals, {_RETRAINED})
    losing = {head for removal in removals for head in removal.rows if removal.subtracted(head)}
    if subtracted and retrained:
        _refuse("taint.mixed", "plan", "one release cannot both subtract rows and train again")
    if retrained:
        _check_trained_again(before, after)
    else:
        _check_kept(before, after, replaced=subtracted, losing=losing)
    _check_replaced(before, after, noised=_under(removals, {_NOISED}), losing=losing)


def _check_plan(blocks: Sequence[BlockProvenance], removal: Removal) -> None:
    """Every block has an action, and none that this removal reaches is kept."""
    planned = [(action.block, action.kind) for action in removal.plan.actions]
    if sorted(planned) != sorted((block.name, block.kind) for block in blocks):
        _undeclared("plan", "its blocks are not those that the model declares")
    heads = {block.name: block for block in blocks if block.kind == "head"}
    for name, count in sorted(removal.rows.items()):
        if count and (name not in heads or removal.cohort not in heads[name].cohorts):
            _undeclared(name, f"no declared head holds rows of {removal.cohort} subjects there")
    actions = {action.block: action.action for action in removal.plan.actions}
    replaced = sorted(name for name in heads if actions[name] != "keep")
    if sorted(removal.plan.selected) != replaced:
        _undeclared("plan", "the heads it selects are not those that it replaces")
    for name in sorted(reached(blocks, removal.cohort, removal.modalities, removal.rows)):
        if actions[name] == "keep":
            _untouched(name, "the plan keeps it")
        if name not in heads and actions[name] in _SUBTRACTED:
            _untouched(name, "rows cannot be subtracted from it")
    for name in replaced:
        if actions[name] in _SUBTRACTED and not heads[name].modalities & removal.modalities:
            _changed(name, "it reads nothing that is revoked")


def _under(removals: Iterable[Removal], actions: Container[str]) -> set[str]:
    """Names of the blocks to which some plan does one of these."""
    return {
        action.block
        for removal in removals
        for action in removal.plan.actions
        if action.action in actions
    }


def _check_kept(
    before: ModelFacts, after: ModelFacts, *, replaced: Container[str], losing: Container[str]
) -> None:
    """Without a training: what no plan replaces is the same bit for bit."""
    if list(map(_declaration, before.provenance)) != list(map(_declaration, after.provenance)):
        _changed("provenance", "there was no training")
    if (before.training_id, before.policy_entry) != (after.training_id, after.policy_entry):
        _changed("policy", "there was no training")
    old, new = _digests(before), _digests(after)
    for block in before.provenance:
        if block.name not in replaced and any(old[p] != new[p] for p in files_of(block)):
            _changed(block.name, "no plan replaces it")
    for head, state in before.states.items():
        if head not in losing and after.states[head] != state:
            _changed(head, "its state is another, though no row left it")


def _check_trained_again(before: ModelFacts, after: ModelFacts) -> None:
    """A training ran: under a new id, in a new policy file, announced after the old one."""
    if after.training_id == before.training_id:
        _untouched("policy", "it names the training that saw the data")
    if _digests(after)["policy.json"] == _digests(before)["policy.json"]:
        _untouched("policy", "its file is the one that was chosen with the data")
    if after.policy_entry <= before.policy_entry:
        _untouched("policy", "no later policy was announced")


def _check_replaced(
    before: ModelFacts, after: ModelFacts, *, noised: Container[str], losing: Container[str]
) -> None:
    """Rows that left a head show in its state, and in the head."""
    old, new = _digests(before), _digests(after)
    for block in before.provenance:
        name = block.name
        if block.kind != "head" or name not in after.states:  # a training may drop a head
            continue
        if name in losing and after.states[name] == before.states[name]:
            _untouched(name, "its state still holds the rows")
        (path,) = files_of(block)
        if (name in losing or name in noised) and new[path] == old[path]:
            _untouched(name, "its file is the one from before")


def _refuse_unmatched(what: str, found: Sequence[str], declared: Iterable[str]) -> None:
    """Found and declared are the same names, each once."""
    counts, wanted = Counter(found), set(declared)
    for name in sorted(counts.keys() | wanted):
        if name not in wanted:
            _undeclared(name, f"this {what} belongs to no declared block")
        if counts[name] != 1:
            _undeclared(name, f"a declared block has {counts[name]} of this {what}")


def _declaration(block: BlockProvenance) -> tuple[str, str, list[str], list[str]]:
    return block.name, block.kind, sorted(block.cohorts), sorted(block.modalities)


def _digests(model: ModelFacts) -> dict[str, str]:
    return {file.path: file.sha256 for file in model.files}


def _undeclared(name: str, why: str) -> NoReturn:
    _refuse("taint.undeclared", name, f"undeclared origin: {name}: {why}")


def _untouched(name: str, why: str) -> NoReturn:
    _refuse("taint.untouched", name, f"{name} depends on the data and was not replaced: {why}")


def _changed(name: str, why: str) -> NoReturn:
    _refuse("taint.changed", name, f"{name} was to stay as it was: {why}")


def _refuse(code: str, field: str, message: str) -> NoReturn:
    raise ArithmeticRefused(f"nothing is released: {message}", code=code, field=field)
