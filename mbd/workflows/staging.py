"""The deletion itself: what a revocation makes of state and heads, written beside the old.

Nothing here flips a pointer. A staged release is complete when its record is there, and is
then used as it is: noise is never drawn twice once a release is staged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from mbd.data.prepared import Bucket
from mbd.deletion.exact import exact_update, refuse_unchanged, subtract_rows
from mbd.deletion.parameters import head_parameters
from mbd.deletion.plan import DeletionPlan
from mbd.head.state import HeadState
from mbd.values import GuaranteeClass, HeadParameters, parse_availability
from mbd.workflows.current import CurrentModel
from mbd.workflows.policy import Policy
from mbd.workflows.release import release_with_noise
from mbd.workflows.snapshots import (
    ModelSnapshot,
    ReleasedHead,
    StateSnapshot,
    derive_model,
    derive_state,
)


@dataclass(frozen=True, kw_only=True)
class StagedRelease:
    """What was written: the snapshots to flip to, and the constants of the release."""

    model_pointer: str
    state_pointer: str
    guarantee_class: GuaranteeClass
    parameters: tuple[HeadParameters, ...]
    selected: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values for the journal."""
        return {
            "modelPointer": self.model_pointer,
            "statePointer": self.state_pointer,
            "class": self.guarantee_class,
            "parameters": [asdict(head) for head in self.parameters],
            "selected": list(self.selected),
        }


def stage_release(
    model: CurrentModel,
    state: StateSnapshot,
    rows: Bucket,
    plan: DeletionPlan,
    *,
    model_id: str,
    state_id: str,
    epsilon: float,
    delta: float,
    before_noise: Callable[[], None],
) -> StagedRelease:
    """Subtract the subject's rows, release the selected heads anew, write both.

    Args:
        model: The model before.
        state: The state before.
        rows: All prepared rows of the subject.
        plan: Which heads are selected, and how they are released.
        model_id, state_id: Names of the new folders.
        epsilon, delta: What a certified release may cost.
        before_noise: Counts the attempt; called once the rest is written.

    Raises:
        ArithmeticRefused: The tolerance was not reached, or the state did not change.
    """
    if not plan.selected:
        return _nothing_to_subtract(model.snapshot, state)
    before = {name: state.load(name) for name in plan.selected}
    after = subtract_subject(model.policy, before, rows, plan)
    _refuse_unchanged(state, after, rows)
    # The state first: it is large, so a full disk is noticed before any noise is drawn.
    new_state = derive_state(state, state_id, after)
    if plan.guarantee_class == "certified":
        before_noise()
    heads, parameters = _release(model.policy, after, plan, epsilon, delta)
    new_model = derive_model(model.snapshot, model_id, heads)
    return StagedRelease(
        model_pointer=new_model.to_pointer(),
        state_pointer=new_state.to_pointer(),
        guarantee_class=plan.guarantee_class,
        parameters=parameters,
        selected=plan.selected,
    )


def subtract_subject(
    policy: Policy, states: Mapping[str, HeadState], rows: Bucket, plan: DeletionPlan
) -> dict[str, HeadState]:
    """The states of the selected heads without this subject's rows."""
    after = {}
    for name, state in states.items():
        found = rows.get(name)
        assert parse_availability(name) & set(plan.modalities), "only selected heads come here"
        if found is None or not len(found):
            after[name] = state
            continue
        q = policy.heads[name].feature_map.expand(found.v)
        after[name] = subtract_rows(state, q, found.t)
    return after


def _refuse_unchanged(before: StateSnapshot, after: Mapping[str, HeadState], rows: Bucket) -> None:
    for name, state in after.items():
        found, (recorded, _) = rows.get(name), before.heads[name]
        refuse_unchanged(recorded, state.digest(), 0 if found is None else len(found))


def _release(
    policy: Policy,
    states: Mapping[str, HeadState],
    plan: DeletionPlan,
    epsilon: float,
    delta: float,
) -> tuple[dict[str, ReleasedHead], tuple[HeadParameters, ...]]:
    constants = {name: policy.heads[name].constants for name in plan.selected}
    if plan.guarantee_class == "exact":
        exact = {
            name: ReleasedHead(exact_update(states[name], head.scale, head.grid), 0)
            for name, head in constants.items()
        }
        return exact, ()
    parameters = head_parameters(list(constants.values()), epsilon, delta)
    return release_with_noise(policy, states, parameters), parameters


def _nothing_to_subtract(model: ModelSnapshot, state: StateSnapshot) -> StagedRelease:
    return StagedRelease(
        model_pointer=model.to_pointer(),
        state_pointer=state.to_pointer(),
        guarantee_class="exact",
        parameters=(),
        selected=(),
    )
