"""The commitments open to what is retained, and no other sums are kept beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mbd.head.state import HeadState, state_digest
from mbd.verify.case import CheckFailed, Undecided
from mbd.workflows.reproduce.data import RetainedRecords, RetainedRows
from mbd.workflows.reproduce.doubts import Doubts, changing, named
from mbd.workflows.reproduce.files import Files, reading
from mbd.workflows.reproduce.history import History
from mbd.workflows.reproduce.later import Later
from mbd.workflows.reproduce.openings import Openings
from mbd.workflows.snapshots import StateSnapshot


@dataclass(frozen=True)
class Commitments:
    """What a certificate commits to, held against what is retained."""

    openings: Openings
    doubts: Doubts

    def same_state(self, rows: RetainedRows | None) -> bool:
        """Whether the rows sum to the state that the certificate commits to."""
        if rows is None:
            return False
        return self.openings.opens("stateAfter", state_digest(rows.states))

    def check(self, records: RetainedRecords, *, same: bool) -> None:
        """Both commitments open; `same`: that of the state does.

        Raises:
            CheckFailed: The state is another one, and nothing later can be the reason.
            Undecided: Something can, or the records alone are others.
        """
        fits = self.openings.opens("datasetAfter", records.root)
        if not same and not fits and self.openings.receipt is None and not self.doubts.explained():
            raise Undecided(
                "the heads fit the retained rows, but the escrow opens neither commitment: it "
                "holds other salts, or the certificate commits to other data",
                code="reproduce.salts",
            )
        if not same:
            why = "the retained rows do not sum to the state that the certificate commits to"
            self.doubts.refute("reproduce.state", why, changing)
        if not fits:
            raise Undecided(
                "state and heads are the certificate's, but records were added or changed since "
                "that the model did not learn from" + named(self.doubts.explained()),
                code="reproduce.dataset",
            )


def check_kept_states(rows: RetainedRows, files: Files, doubts: Doubts) -> tuple[str, ...]:
    """No state is kept that holds anything else than the retained rows.

    A later request that was given up may have left one that the next command removes.

    Returns:
        Their paths in the workspace.
    """
    checked = []
    for path in sorted((files.root / "state").glob("*/*.safetensors")):
        where = path.relative_to(files.root).as_posix()
        if files.sizes.get(where, 0) > rows.largest_state:
            raise Undecided(f"{where} is too large for a state", code="reproduce.unreadable")
        with reading(path):
            kept = HeadState.load(path).digest()
        state = rows.states.get(path.stem)
        if state is None or kept != state.digest():
            why = f"{where} holds other sums than the retained rows give"
            doubts.weigh(why, _all)
            _refuse_torn(path, kept, doubts.history.state)
            raise CheckFailed(why, code="reproduce.kept_state")
        checked.append(where)
    return tuple(checked)


def _refuse_torn(path: Path, kept: str, current: StateSnapshot | None) -> None:
    """A state in force that is not the one which the workspace itself recorded was copied badly."""
    if current is not None and path.parent == current.folder:
        recorded = current.heads.get(path.stem)
        if recorded is None or recorded[0] != kept:
            raise Undecided(f"{path} is torn", code="reproduce.unreadable")


def _all(history: History) -> tuple[Later, ...]:
    return history.later
