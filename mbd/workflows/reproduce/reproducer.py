"""REPRODUCED, check 21: is the released model what the retained data gives, and nothing more?

The state is summed anew from the prepared rows, and the commitments must open to it. Each head
must be the optimum of that state. With a receipt, nothing that it lists may be in records or rows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from mbd.verify.case import Case, CheckFailed, NotReached, Undecided
from mbd.workflows.policy import Policy
from mbd.workflows.reproduce.commitments import Commitments, check_kept_states
from mbd.workflows.reproduce.data import Progress, RetainedData, RetainedRecords, RetainedRows
from mbd.workflows.reproduce.doubts import Doubts, busy
from mbd.workflows.reproduce.files import check_unlisted, list_files, reading
from mbd.workflows.reproduce.forget_set import ForgetSet
from mbd.workflows.reproduce.forgotten import Forgotten
from mbd.workflows.reproduce.heads import ReleasedHeads
from mbd.workflows.reproduce.openings import Offered, Openings
from mbd.workflows.reproduce.released import ReleasedFiles, find_released
from mbd.workflows.reproduce.service import check_announced, check_service, refuse_model
from mbd.workflows.reproduce.words import describe

Shown = Callable[[str], AbstractContextManager[Progress]]


def _unseen(title: str) -> AbstractContextManager[Progress]:
    """For those who do not want to know how far it is."""
    return nullcontext(lambda done, total: None)


def make_reproducer(
    folder: Path,
    *,
    receipt: bytes | None = None,
    escrow: bytes | None = None,
    progress: Shown = _unseen,
) -> Callable[[Case], str]:
    """What check 21 calls: rebuild from a workspace, or from a read-only copy of one.

    Keys, secrets and receipts need not be in it; nothing is written.

    Args:
        folder: The workspace.
        receipt: The person's receipt as received; it opens everything.
        escrow: The auditor's salts as received; used where the receipt does not fit, or to hold
            the data set of before against what the certificate before this one left.
        progress: Entered with a title while something is rebuilt; gives a function that is called
            with buckets done and buckets in all.

    Returns:
        A function that says what was reproduced, or raises `CheckFailed` (refuted) or
        `Undecided` (cannot be verified, and why).
    """
    offered = Offered(receipt, escrow)

    def reproduce(case: Case) -> str:
        try:
            openings = offered.for_certificate(case.statement.predicate)
            with progress("rebuilding") as report:
                found = _Reproduction(case, folder, openings, report).run()
            case.model_only = openings.receipt is None
            only = "model only: whose data is gone was not checked; " * case.model_only
            return f"REPRODUCED: {only}{found}"
        except NotReached:
            raise
        except CheckFailed as error:
            raise CheckFailed(f"REFUTED: {error.message}", code=error.code) from error
        except Undecided as error:
            raise Undecided(f"UNVERIFIABLE: {error.message}", code=error.code) from error

    return reproduce


@dataclass(frozen=True)
class _Retained:
    """All that a workspace holds of a certificate's model and data, read once."""

    data: RetainedData
    records: RetainedRecords
    released: ReleasedFiles
    policy: Policy | None
    rows: RetainedRows | None


@dataclass(frozen=True)
class _Reproduction:
    """One certificate held against one workspace."""

    case: Case
    folder: Path
    openings: Openings
    progress: Progress

    def run(self) -> str:
        """What was reproduced; raises what `make_reproducer` says."""
        predicate, doubts = self.case.statement.predicate, Doubts(self.case, self.folder)
        commitments = Commitments(self.openings, doubts)
        receipt = self.openings.receipt
        forget = None if receipt is None else ForgetSet(receipt)
        beside = self.openings.beside
        forgotten = None if forget is None else Forgotten(forget, doubts, beside)
        with reading(self.folder):
            files = list_files(self.folder)
        found = self._read(forget)
        policy, rows = found.policy, found.rows
        same = commitments.same_state(rows)
        searched = None
        if forgotten is not None:
            forgotten.check_gone(same=same)
            searched = forgotten.check_beside(
                files, found.data, found.released.others, () if rows is None else rows.states
            )
        if policy is None or rows is None:
            refuse_model("no model here is the certificate's", predicate, doubts)
        unasked = check_announced(predicate, doubts)
        ReleasedHeads(predicate, policy, found.released, doubts, same).check(rows)
        commitments.check(found.records, same=same)
        compared = None if forgotten is None else forgotten.check_before(found.records)
        states = check_kept_states(rows, files, doubts)
        unlisted = files.unlisted((*found.data.listed(policy), *states))
        check_unlisted((*unlisted, *files.empty), searched)
        elsewhere = files.elsewhere()
        if forgotten is not None:
            forgotten.check_copies()
            elsewhere += forgotten.check_log(files)
        words = describe(predicate, found.released, compared, elsewhere)
        return f"{words}; {check_service(predicate, found.released, doubts, unasked)}"

    def _read(self, forget: ForgetSet | None) -> _Retained:
        data = RetainedData(self.folder / "data", self.progress)
        before = data.generations()
        records = data.records(forget)
        released = find_released(self.folder / "models", self.case)
        policy = released.policy(self.case.statement.predicate)
        rows = None
        if policy is not None:
            rows = data.rows(policy, released.extractor(policy), records, forget)
        if forget is not None:
            data.meet_other_rows(forget, policy)
        if data.generations() != before:
            raise busy("the data changed while it was read")
        return _Retained(data, records, released, policy, rows)
