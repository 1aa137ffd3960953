"""REPRODUCED, check 21: is the released model what the retained data gives, and nothing more?

The state is summed anew from the prepared rows, and the commitments must open to it. Each head
must be the optimum of that state: bit for bit, or up to noise of the size that the certificate
states. With a receipt, nothing that it lists may be in records or rows.

An honest service goes on: data and models change. So a difference is held against what the
ledger says came later, and only a difference that nothing logged can explain is a refutation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from mbd.certificate.rules import is_retrained
from mbd.certificate.statement import Predicate
from mbd.errors import ArithmeticRefused
from mbd.head.state import HeadState, state_digest
from mbd.verify.case import Case, CheckFailed, NotReached, Undecided
from mbd.workflows.policy import Policy
from mbd.workflows.reproduce_data import ForgetSet, Progress, RetainedData, RetainedRows, reading
from mbd.workflows.reproduce_ledger import History, Later, read_history
from mbd.workflows.reproduce_model import ReleasedFiles, check_released, find_released
from mbd.workflows.reproduce_openings import Offered, Openings

Explanation = Callable[[History], Iterable[Later]]

Shown = Callable[[str], AbstractContextManager[Progress]]

_NAMED = 5


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
        escrow: The auditor's salts as received; used where the receipt does not fit.
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
                return f"REPRODUCED: {_Reproduction(case, folder, openings, report).run()}"
        except NotReached:
            raise
        except CheckFailed as error:
            raise CheckFailed(f"REFUTED: {error.message}", code=error.code) from error
        except Undecided as error:
            raise Undecided(f"UNVERIFIABLE: {error.message}", code=error.code) from error

    return reproduce


@dataclass(frozen=True)
class _Reproduction:
    """One certificate held against one workspace."""

    case: Case
    folder: Path
    openings: Openings
    progress: Progress

    def run(self) -> str:
        """What was reproduced; raises what `make_reproducer` says."""
        forget = None if self.openings.receipt is None else ForgetSet(self.openings.receipt)
        data = RetainedData(self.folder / "data", self.progress)
        before = data.generations()
        records = data.records(forget)
        released = find_released(self.folder / "models", self.case)
        policy = released.policy(self._predicate)
        rows = None if policy is None else data.rows(policy, records, forget)
        if forget is not None:
            data.meet_other_rows(forget, policy)
        if data.generations() != before:
            raise _busy("the data changed while it was read")
        same = rows is not None and self.openings.opens("stateAfter", state_digest(rows.states))
        if forget is not None:
            self._check_forgotten(forget, same=same)
        if policy is None or rows is None:
            self._refute("reproduce.model", "no model here is the certificate's", _changing)
        self._check_model(released, policy, rows, same=same)
        self._check_data(records.root, same=same)
        self._check_kept_state(rows)
        if forget is not None and forget.looks_copied:
            raise Undecided(
                "most of the erased values are stored under another name: copies that were there "
                "before, which no certificate covers, or the data itself, renamed",
                code="reproduce.copies",
            )
        return self._words(released, rows, forget)

    @property
    def _predicate(self) -> Predicate:
        return self.case.statement.predicate

    @cached_property
    def _history(self) -> History:
        return read_history(self.folder, self.case)

    def _check_forgotten(self, forget: ForgetSet, *, same: bool) -> None:
        """Nothing that the receipt lists is there, unless the person allowed it again."""
        if forget.kept:
            found = sorted(forget.kept)
            why = f"{found[0]} is still stored" + _more(found)
            self._refute("reproduce.forget_set", why, certain=same)
        if forget.there:
            found = sorted(forget.there)
            why = f"the person's {found[0]}" + _more(found)
            self._refute("reproduce.forget_set", why, _consents, code="reproduce.consent")

    def _check_model(
        self, released: ReleasedFiles, policy: Policy, rows: RetainedRows, *, same: bool
    ) -> None:
        """Rows are backed by records, and heads are the optimum of their rows.

        A head that is still the certificate's has the rows of then: whatever changes its rows
        releases it anew. So it is held against them even if others have changed.
        """
        if rows.problems:
            self._refute("reproduce.rows", rows.problems[0] + _more(rows.problems), certain=same)
        guarantee = self._predicate.guarantee
        if guarantee.guarantee_class == "empirical":
            raise Undecided(
                "the class is empirical: noise surgery leaves no optimum to compare with",
                code="reproduce.empirical",
            )
        for name in guarantee.heads if same or released.alone else ():
            if name in released.heads:
                self._check_head(released, policy, name, rows.states[name], same=same)
        missing = sorted(released.missing)
        if missing:
            why = f"{missing[0]} of the certificate's model is not here" + _more(missing)
            self._refute("reproduce.model", why, _changing)

    def _check_head(
        self, released: ReleasedFiles, policy: Policy, name: str, state: HeadState, *, same: bool
    ) -> None:
        try:
            why = check_released(self._predicate, policy, released.head(name), name, state)
        except ArithmeticRefused as error:
            raise Undecided(
                f"head {name} cannot be solved here: {error.message}", code="reproduce.arithmetic"
            ) from error
        if why is not None:
            self._refute("reproduce.head", f"head {name}: {why}", certain=same)

    def _check_data(self, root: str, *, same: bool) -> None:
        """The commitments open to what is retained."""
        fits = self.openings.opens("datasetAfter", root)
        if not same and not fits and self.openings.receipt is None and not self._explained():
            raise Undecided(
                "the heads fit the retained rows, but the escrow opens neither commitment: it "
                "holds other salts, or the certificate commits to other data",
                code="reproduce.salts",
            )
        if not same:
            why = "the retained rows do not sum to the state that the certificate commits to"
            self._refute("reproduce.state", why, _changing)
        if not fits:
            raise Undecided(
                "state and heads are the certificate's, but records were added or changed since "
                "that the model did not learn from" + _named(self._explained()),
                code="reproduce.dataset",
            )

    def _explained(self) -> tuple[Later, ...]:
        """Later entries that change data; none, if the ledger cannot be asked."""
        try:
            return self._history.changing()
        except Undecided:
            return ()

    def _check_kept_state(self, rows: RetainedRows) -> None:
        """No state is kept that holds anything else than the retained rows.

        A later request that was given up may have left one that the next command removes.
        """
        for path in sorted((self.folder / "state").glob("*/*.safetensors")):
            with reading(path):
                kept = HeadState.load(path).digest()
            state = rows.states.get(path.stem)
            if state is None or kept != state.digest():
                where = path.relative_to(self.folder).as_posix()
                why = f"{where} holds other sums than the retained rows give"
                self._refute("reproduce.kept_state", why, lambda history: history.later)

    def _refute(
        self,
        refuted: str,
        why: str,
        explained_by: Explanation = lambda history: (),
        *,
        certain: bool = False,
        code: str = "reproduce.changed_since",
    ) -> NoReturn:
        """Refute, or say what else may be the reason.

        Args:
            refuted: The code of the refutation.
            why: The difference.
            explained_by: Later entries that may be the reason of it.
            certain: The commitment to the state opens, so that nothing later is the reason.
            code: Of the doubt.
        """
        if not certain:
            if self._history.unfinished is not None:
                raise _busy(f"{why}; {self._history.unfinished}")
            later = tuple(explained_by(self._history))
            if later:
                raise Undecided(why + _named(later), code=code)
        raise CheckFailed(why, code=refuted)

    def _words(self, released: ReleasedFiles, rows: RetainedRows, forget: ForgetSet | None) -> str:
        """What was reproduced, in plain words."""
        heads = self._predicate.guarantee.heads
        noisy = sum(bool(released.head(name).noise_steps) for name in heads)
        parts = [
            "the retained rows sum to the state that the certificate commits to",
            f"{len(heads)} heads are its optimum, {noisy} with the noise stated"
            if noisy
            else f"{len(heads)} heads are its optimum, bit for bit",
            "an escrow does not tell whose data was removed: that it is gone takes the receipt"
            if forget is None
            else "nothing that the receipt lists is in records or rows",
        ]
        if forget is not None and forget.equal:
            parts.append(f"{sum(forget.equal.values())} equal values belong to others")
        made = "core and rows were" if is_retrained(self._predicate.guarantee) else "rows were"
        parts.append(f"{made} not made again from records: `mbd state check --train-again` does")
        return "; ".join(parts)


def _changing(history: History) -> Iterable[Later]:
    return history.changing()


def _consents(history: History) -> Iterable[Later]:
    return history.of_type("consent")


def _more(found: tuple[str, ...] | list[str]) -> str:
    return f", and {len(found) - 1} more" if len(found) > 1 else ""


def _named(later: tuple[Later, ...]) -> str:
    """Like '; entries that came later: 12 (growth), 14 (certificate)'; empty if there are none."""
    if not later:
        return ""
    names = ", ".join(str(one) for one in later[:_NAMED])
    rest = f" and {len(later) - _NAMED} more" if len(later) > _NAMED else ""
    return f"; entries that came later: {names}{rest}"


def _busy(why: str) -> Undecided:
    hint = "let `mbd resume` finish it, and copy again"
    return Undecided(f"{why}: {hint}", code="reproduce.unfinished")
