"""Every head is the optimum of its rows: bit for bit, or up to noise of the size that is stated."""

from __future__ import annotations

from dataclasses import dataclass

from mbd.canonical.numbers import from_decimal
from mbd.certificate.statement import Parameters, Predicate
from mbd.deletion.check import check_deviation
from mbd.deletion.noise_patterns import HeadNoise, head_threshold, pattern_findings
from mbd.deletion.parameters import HeadPolicy
from mbd.errors import ArithmeticRefused
from mbd.head.integers import Ints
from mbd.head.solve import residual_bound, solve, solve_within
from mbd.head.state import HeadState
from mbd.privacy.accountant import noise_steps
from mbd.verify.case import CheckFailed, Undecided
from mbd.workflows.policy import Policy
from mbd.workflows.reproduce.data import RetainedRows
from mbd.workflows.reproduce.doubts import Doubts, more
from mbd.workflows.reproduce.released import ReleasedFiles
from mbd.workflows.reproduce.service import refuse_model
from mbd.workflows.snapshots import ReleasedHead, head_file


@dataclass(frozen=True)
class ReleasedHeads:
    """The heads of a certificate's model, held against the rows that are retained."""

    predicate: Predicate
    policy: Policy
    released: ReleasedFiles
    doubts: Doubts
    same: bool
    """The state that the certificate commits to is that of the retained rows."""

    def check(self, rows: RetainedRows) -> None:
        """Rows are backed by records, and heads are the optimum of their rows.

        A head that is still the certificate's has the rows of then: whatever changes its rows
        releases it anew. So it is held against them even if others have changed.
        """
        self._check_rows(rows)
        guarantee = self.predicate.guarantee
        if guarantee.guarantee_class == "empirical":
            raise Undecided(
                "the class is empirical: noise surgery leaves no optimum to compare with",
                code="reproduce.empirical",
            )
        self._check_replaced()
        noise = [
            self._check_head(name, rows.states[name])
            for name in guarantee.heads
            if (self.same or self.released.alone) and name in self.released.heads
        ]
        for why in pattern_findings([one for one in noise if one is not None]):
            self.doubts.refute("reproduce.noise", why, certain=self.same)
        missing = sorted(self.released.missing)
        if missing:
            why = f"{missing[0]} of the certificate's model is not here" + more(missing)
            refuse_model(why, self.predicate, self.doubts)

    def _check_rows(self, rows: RetainedRows) -> None:
        for problems in (rows.problems, rows.remade.problems()):
            if problems:
                why = problems[0] + more(problems)
                self.doubts.refute("reproduce.rows", why, certain=self.same)

    def _check_replaced(self) -> None:
        """No head with noise drawn for this request is the file that the certificate before had.

        In large data a head that was left alone may be within its noise of the new optimum.
        """
        if self.predicate.guarantee.guarantee_class != "certified":
            return
        try:
            before = self.doubts.history.before
        except Undecided:
            return
        if before is None:
            return
        old = {file.path: file.sha256 for file in before.deletion.model_after.files}
        for name in self.predicate.guarantee.selected_heads:
            path = head_file(name)
            if old.get(path) == self.released.digests[path]:
                why = f"head {name} was not replaced: it is that of certificate"
                raise CheckFailed(f"{why} {before.certificate_id}", code="reproduce.head")

    def _check_head(self, name: str, state: HeadState) -> HeadNoise | None:
        try:
            released = self.released.head(name)
            why, noise = check_released(self.predicate, self.policy, released, name, state)
        except ArithmeticRefused as error:
            raise Undecided(
                f"head {name} cannot be solved here: {error.message}", code="reproduce.arithmetic"
            ) from error
        if why is not None:
            self.doubts.refute("reproduce.head", f"head {name}: {why}", certain=self.same)
        return noise


def check_released(
    predicate: Predicate, policy: Policy, released: ReleasedHead, name: str, state: HeadState
) -> tuple[str | None, HeadNoise | None]:
    """Hold a head against the optimum of its state; what is wrong with it, and its noise, or None.

    Lambda, units and grid are those of the policy, which the certificate repeats; the noise is
    what the certificate states for the heads that it replaced, and for the others what their
    files say, if the policy allows it.

    Raises:
        CheckFailed: It declares other noise than it may (`artifact.noise`), has another shape
            than the policy says (`artifact.head`), or states a tolerance that nothing reaches
            (`reproduce.tolerance`).
        ArithmeticRefused: The optimum cannot be computed.
    """
    constants = policy.heads[name].constants
    if released.weights.shape != (constants.dimension, constants.outputs):
        raise CheckFailed(f"head {name} has another shape", code="artifact.head")
    noisy = noise_steps(constants.sigma, constants.grid)
    guarantee, allowed = predicate.guarantee, {0, noisy}
    if name in guarantee.selected_heads:
        allowed = {noisy} if guarantee.guarantee_class == "certified" else {0}
    if released.noise_steps not in allowed:
        raise CheckFailed(
            f"head {name} declares noise of {released.noise_steps} grid steps, not of "
            f"{' or '.join(map(str, sorted(allowed)))}",
            code="artifact.noise",
        )
    optimum = solve(state, constants.scale, constants.grid)
    for stated in guarantee.parameters:
        if stated.head == name:
            _check_tolerance(stated, constants, state, optimum)
    deviation = released.weights - optimum
    found = check_deviation(
        deviation,
        grid=constants.grid,
        sigma=constants.sigma if released.noise_steps else None,
        threshold=head_threshold(len(guarantee.heads)),
    )
    noise = HeadNoise.of(name, deviation, noisy, state.gram) if released.noise_steps else None
    return None if found.passed else found.detail, noise


def _check_tolerance(
    stated: Parameters, constants: HeadPolicy, state: HeadState, optimum: Ints
) -> None:
    """What surgery found before its noise can have had a residual within the stated tolerance.

    Nobody sees it; but where neither the rounded optimum nor what refinement on the grid finds
    is within tau, an honest engine releases nothing. These are all that it tries.
    """
    tolerance, scale, grid = from_decimal(stated.tolerance), constants.scale, constants.grid
    bound = residual_bound(state, scale, optimum, grid)
    if bound <= tolerance:
        return
    for precision in ("double", "single"):
        if solve_within(state, scale, grid, float(tolerance), precision) is not None:
            return
    raise CheckFailed(
        f"head {stated.head}: a residual of {bound:.3g} is what its state and grid allow, but "
        f"{float(tolerance):.3g} is the tolerance that epsilon was computed from",
        code="reproduce.tolerance",
    )
