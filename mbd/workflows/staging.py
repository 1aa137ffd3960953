"""The deletion itself: what a batch makes of state and heads, written beside the old.

Nothing here flips a pointer. A staged release is complete when its record is there, and is
then used as it is: noise is never drawn twice once a release is staged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mbd.data.prepared import Bucket
from mbd.deletion.exact import refuse_unchanged, subtract_rows
from mbd.deletion.parameters import head_parameters
from mbd.head.state import HeadState
from mbd.values import HeadParameters
from mbd.workflows.current import CurrentModel
from mbd.workflows.policy import Policy
from mbd.workflows.release import release_exactly, release_with_noise
from mbd.workflows.snapshots import ReleasedHead, StateSnapshot, derive_model, derive_state
from mbd.workflows.sums import in_blocks


@dataclass(frozen=True, kw_only=True)
class StagedRelease:
    """What was written: the snapshots to flip to, and the constants of the release."""

    model_pointer: str
    state_pointer: str
    parameters: tuple[HeadParameters, ...] = ()
    """Of every head that was released with noise."""
    policy_entry: int | None = None
    """Ledger entry of the policy; None: that of the model before."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for the journal."""
        return {
            "modelPointer": self.model_pointer,
            "statePointer": self.state_pointer,
            "parameters": [asdict(head) for head in self.parameters],
            "policyEntry": self.policy_entry,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> StagedRelease:
        """Inverse of `to_json`."""
        return StagedRelease(
            model_pointer=value["modelPointer"],
            state_pointer=value["statePointer"],
            parameters=tuple(HeadParameters(**head) for head in value["parameters"]),
            policy_entry=value["policyEntry"],
        )


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is asked of the heads, and under which names the result is written."""

    selected: Sequence[str]
    """Heads to replace."""
    noise: bool
    """Whether they get noise; otherwise they are the exact optimum."""
    epsilon: float
    delta: float
    model_id: str
    state_id: str


def stage_release(
    model: CurrentModel,
    state: StateSnapshot,
    removed: Iterable[Bucket],
    release: Release,
    *,
    before_noise: Callable[[], None],
) -> StagedRelease:
    """Subtract rows, release the selected heads anew, write both.

    Args:
        model: The model before.
        state: The state before.
        removed: Prepared rows that go, of selected heads only; read once.
        release: Which heads, and how.
        before_noise: Counts the attempt; called once the rest is written.

    Raises:
        ArithmeticRefused: The tolerance was not reached, or a state did not change.
    """
    if not release.selected:
        return StagedRelease(
            model_pointer=model.snapshot.to_pointer(), state_pointer=state.to_pointer()
        )
    # Not named here: each state is let go as soon as the one after it is there.
    after, rows = subtract(
        model.policy, {name: state.load(name) for name in release.selected}, removed
    )
    # The state first: it is large, so a full disk is noticed before any noise is drawn.
    new_state = derive_state(state, release.state_id, after)
    for name in release.selected:
        refuse_unchanged(state.heads[name][0], new_state.heads[name][0], rows[name])
    if release.noise:
        before_noise()
    heads, parameters = _release(model.policy, after, release)
    new_model = derive_model(model.snapshot, release.model_id, heads)
    return StagedRelease(
        model_pointer=new_model.to_pointer(),
        state_pointer=new_state.to_pointer(),
        parameters=parameters,
    )


def subtract(
    policy: Policy, states: Mapping[str, HeadState], removed: Iterable[Bucket]
) -> tuple[dict[str, HeadState], dict[str, int]]:
    """The states without these rows, and how many rows each head lost."""
    after, rows = dict(states), dict.fromkeys(states, 0)
    del states
    for name, block in in_blocks(removed):
        q = policy.heads[name].feature_map.expand(block.v)
        after[name] = subtract_rows(after[name], q, block.t)
        rows[name] += len(block)
    return after, rows


def _release(
    policy: Policy, states: Mapping[str, HeadState], release: Release
) -> tuple[dict[str, ReleasedHead], tuple[HeadParameters, ...]]:
    if not release.noise:
        return release_exactly(policy, states), ()
    constants = [policy.heads[name].constants for name in release.selected]
    parameters = head_parameters(constants, release.epsilon, release.delta)
    return release_with_noise(policy, states, parameters), parameters
