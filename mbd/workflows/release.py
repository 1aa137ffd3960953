"""Heads as they leave a state: the optimum, or close to it with the noise that is stated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mbd.deletion.exact import exact_update
from mbd.deletion.release import certified_release
from mbd.head.state import HeadState
from mbd.privacy.accountant import noise_steps
from mbd.values import HeadParameters
from mbd.workflows.policy import Policy
from mbd.workflows.snapshots import ReleasedHead


def release_exactly(policy: Policy, states: Mapping[str, HeadState]) -> dict[str, ReleasedHead]:
    """Release the optimum of each state, rounded to its grid, without noise."""
    found = {}
    for name, state in states.items():
        constants = policy.heads[name].constants
        found[name] = ReleasedHead(exact_update(state, constants.scale, constants.grid), 0)
    return found


def release_with_noise(
    policy: Policy, states: Mapping[str, HeadState], parameters: Iterable[HeadParameters]
) -> dict[str, ReleasedHead]:
    """Release the heads that the parameters name, each with fresh noise.

    Raises:
        ArithmeticRefused: A tolerance is out of reach, or the parameters are of another head.
    """
    return {
        head.head: ReleasedHead(
            certified_release(states[head.head], policy.heads[head.head].constants.scale, head),
            noise_steps(head.sigma, head.grid),
        )
        for head in parameters
    }
