"""Is the model what the retained data says it must be? Rebuild, and compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mbd.certificate.receipt import Receipt
from mbd.data.prepared import Bucket
from mbd.deletion.check import check_deviation
from mbd.deletion.noise_patterns import HeadNoise, head_threshold, pattern_findings
from mbd.head.solve import solve
from mbd.head.state import HeadState, digest_of_heads
from mbd.privacy.accountant import noise_steps
from mbd.values import parse_availability
from mbd.workflows.cross_check import (
    data_findings,
    ledger_findings,
    papers_of,
    receipt_findings,
    released_exactly,
)
from mbd.workflows.current import CurrentModel
from mbd.workflows.session import Session
from mbd.workflows.snapshots import unlisted
from mbd.workflows.sums import sum_rows


@dataclass(frozen=True, kw_only=True)
class HeadFinding:
    """The finding about one head."""

    head: str
    rows: int
    state: str
    """'equal' or what differs."""
    release: str
    """'within the noise of the optimum', or what differs."""
    ok: bool


@dataclass(frozen=True, kw_only=True)
class StateCheck:
    """The finding about the whole model."""

    digest: str
    """Of the current state."""
    from_scratch: str
    """Of the state rebuilt from the retained rows."""
    heads: tuple[HeadFinding, ...]
    others: tuple[str, ...]
    """What is not as it must be, beside states and heads."""

    @property
    def equal(self) -> bool:
        """Whether the state is that of a system that only ever saw the retained rows."""
        return self.digest == self.from_scratch

    @property
    def findings(self) -> tuple[str, ...]:
        """Everything that is not as it must be."""
        states = [f"head {h.head}: its state {h.state}" for h in self.heads if h.state != "equal"]
        releases = [f"head {h.head}: {h.release}" for h in self.heads if not h.ok]
        return (*states, *releases, *self.others)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return self.equal and not self.findings


def check_state(
    session: Session,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    receipt: Receipt | None = None,
) -> StateCheck:
    """Rebuild the state from the retained prepared rows; hold state and heads against it.

    Then hold policy, model and state against the ledger, and the rows against the records.

    Args:
        session: The workspace.
        progress: Called with buckets done and buckets in all.
        receipt: Of a revocation: its channel must be off and gone.

    Raises:
        NotFoundError: No model was trained yet.
        IntegrityError: A file is torn or altered.
    """
    model, state = session.model(), session.state()
    model.snapshot.check()
    rebuilt, findings = _rebuild(session, model, progress)
    papers = papers_of(session, model)
    exact = released_exactly(papers, model.policy.heads)
    heads, noise = list[HeadFinding](), list[HeadNoise]()
    for name in sorted(model.policy.heads):
        recorded = state.load(name).digest()
        equal = recorded == rebuilt[name].digest()
        finding, drawn = _check(model, name, rebuilt[name], equal, exact=exact[name])
        heads.append(finding)
        noise += drawn
    findings += pattern_findings(noise)
    findings += [f"{path}: not part of the model" for path in unlisted(model.snapshot)]
    scratch = digest_of_heads({name: found.digest() for name, found in rebuilt.items()})
    findings += ledger_findings(session, model, papers, scratch)
    findings += data_findings(session, model)
    if receipt is not None:
        findings += receipt_findings(session, model, receipt)
    return StateCheck(
        digest=state.digest,
        from_scratch=scratch,
        heads=tuple(heads),
        others=tuple(findings),
    )


def _rebuild(
    session: Session, model: CurrentModel, progress: Callable[[int, int], None]
) -> tuple[dict[str, HeadState], list[str]]:
    """The state from scratch, and retained rows that a revocation should have removed."""
    prepared, suppressed = session.prepared(model.policy.training_id), session.erased_channels
    findings: set[str] = set()

    def retained() -> Iterator[Bucket]:
        for done, bucket in enumerate(prepared.buckets()):
            progress(done, len(prepared.buckets()))
            rows = prepared.read_bucket(bucket)
            findings.update(_leftovers(rows, suppressed.blocks))
            yield rows

    states = sum_rows(model.policy, retained())
    return states, sorted(findings)


def _leftovers(rows: Bucket, blocks: Callable[[str, str], bool]) -> Iterator[str]:
    for head, found in rows.items():
        for subject in sorted(set(found.subjects)):
            revoked = [m for m in sorted(parse_availability(head)) if blocks(subject, m)]
            if revoked:
                yield f"head {head}: rows with revoked {', '.join(revoked)} are still there"


def _check(
    model: CurrentModel, name: str, rebuilt: HeadState, equal: bool, *, exact: bool | None
) -> tuple[HeadFinding, list[HeadNoise]]:
    constants = model.policy.heads[name].constants
    released = model.snapshot.head(name)
    steps = released.noise_steps
    deviation = released.weights - solve(rebuilt, constants.scale, constants.grid)
    found = check_deviation(
        deviation,
        grid=constants.grid,
        sigma=steps * constants.grid if steps else None,
        threshold=head_threshold(len(model.policy.heads)),
    )
    noisy = noise_steps(constants.sigma, constants.grid)
    stated = released.noise_steps in ((0, noisy) if exact is None else (0,) if exact else (noisy,))
    finding = HeadFinding(
        head=name,
        rows=rebuilt.rows,
        state="equal" if equal else "differs from the retained rows",
        release=found.detail if stated else "its noise is not the one that was stated",
        ok=found.passed and stated,
    )
    if not steps:
        return finding, []
    return finding, [HeadNoise.of(name, deviation, steps, rebuilt.gram)]
