"""The current model as deletion sees it: what its files must be, and its policy.

Nothing here predicts, so that a revocation does not load what only predictions need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from mbd.workflows.policy import Policy
from mbd.workflows.snapshots import POLICY_FILE, ModelSnapshot


@dataclass(frozen=True)
class CurrentModel:
    """A released model; core and heads stay on disk."""

    snapshot: ModelSnapshot
    policy: Policy

    @classmethod
    def load(cls, snapshot: ModelSnapshot) -> Self:
        """Read the policy.

        Raises:
            IntegrityError: A file is missing, torn or altered.
        """
        return cls(snapshot, Policy.from_bytes(snapshot.read(POLICY_FILE)))
