"""What was there before: compared for each of a batch, and held against the certificate before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbd.workflows.papers as papers_module
from mbd.certificate.escrow import make_escrow, parse_escrow
from mbd.workflows import certify
from tests.workflows import cheats
from tests.workflows.arrivals import archive
from tests.workflows.auditing import Revoked, Verdict, escrow_of, judge, revoke, verdict_of
from tests.workflows.conftest import Spread
from tests.workspaces import TrainedWorkspace, must_run


def batch(workspace: TrainedWorkspace) -> Iterator[Revoked]:
    """Two people who are served together."""
    path = workspace.root.parent / "batch.csv"
    one, two = workspace.revocable[:2]
    path.write_text(f"user,modality\n{one},audio\n{two},text\n")
    must_run(workspace.root, "revoke", "--batch", str(path))
    for receipt in sorted((workspace.root / "receipts").iterdir()):
        bundle = workspace.root / "certs" / receipt.name
        yield Revoked(workspace, "", bundle, receipt)


def other_before(patch: pytest.MonkeyPatch, session: Any) -> None:
    """The papers commit to a data set that never was."""
    honest = certify.sign_certificate

    def sign(session: Any, request: Any, outcome: Any, erased: Any, issuing: Any) -> Any:
        other = replace(outcome, dataset_before="0" * 64)
        return honest(session, request, other, erased, issuing)

    patch.setattr(papers_module, "sign_certificate", sign)


def nudged(patch: pytest.MonkeyPatch, session: Any) -> None:
    """Kept under another name, each number moved by the least; the papers fit what is there."""

    def disguise(records: Any) -> Any:
        records = cheats._new_ids_and_salts(records)
        moved = {name: tuple(map(_next, x)) for name, x in records.x.items()}
        return replace(records, x=moved)

    cheats._renamed(patch, disguise)
    cheats.commit_to_what_fits(patch)


def _next(value: Any) -> Any:
    return None if value is None else np.nextafter(value, np.float32(np.inf))


def with_escrow(revoked: Revoked, escrow: Path) -> Verdict:
    """Judged with the receipt, and the escrow of another certificate."""
    given = ("--receipt", str(revoked.receipt), "--escrow", str(escrow))
    return verdict_of(revoked, "--reproduce", str(revoked.root), *given)


def test_each_of_a_batch_has_the_data_set_with_what_it_took(
    trained_workspace: TrainedWorkspace,
) -> None:
    for member in batch(trained_workspace):
        found = judge(member, member.root)
        assert (found.exit_code, found.result) == (0, "pass"), found
        assert "the records are the data set of before" in found.reason


def test_a_batch_is_no_excuse(trained_workspace: TrainedWorkspace) -> None:
    """Papers of an earlier version had one data set for all: nobody is accused, nobody passes."""
    with pytest.MonkeyPatch.context() as patch:
        other_before(patch, None)
        members = list(batch(trained_workspace))
    for member in members:
        found = judge(member, member.root)
        assert (found.exit_code, found.code) == (3, "reproduce.batch"), found


def test_a_certificate_of_another_model_beside_it_is_no_excuse_at_all(
    trained_workspace: TrainedWorkspace,
) -> None:
    """Without noise there is no attempt to log, so two certificates lie side by side."""
    revoke(trained_workspace, trained_workspace.revocable[0], "--method", "exact")
    with pytest.MonkeyPatch.context() as patch:
        other_before(patch, None)
        second = revoke(trained_workspace, trained_workspace.revocable[1], "--method", "exact")
    found = judge(second, second.root)
    assert (found.exit_code, found.code) == (1, "reproduce.before"), found


def test_the_escrow_of_the_certificate_before_shows_what_was_there(
    trained_workspace: TrainedWorkspace,
) -> None:
    first = revoke(trained_workspace, trained_workspace.revocable[0])
    escrow = escrow_of(first)
    second = revoke(trained_workspace, trained_workspace.revocable[1])
    alone, chained = judge(second, second.root), with_escrow(second, escrow)
    assert (alone.result, chained.result) == ("pass", "pass"), chained
    assert f"the escrow of certificate {first.bundle.stem} beside the receipt tests" in alone.reason
    assert f"what certificate {first.bundle.stem}, the one before, had left" in chained.reason

    salts = dict.fromkeys(("datasetAfter", "stateAfter"), bytes(32))
    wrong = make_escrow(parse_escrow(escrow.read_bytes()).certificate_id, salts)
    escrow.write_bytes(wrong.to_bytes())
    found = with_escrow(second, escrow)
    assert (found.exit_code, found.code) == (3, "reproduce.chain"), found


def test_papers_that_fit_what_was_kept_do_not_fit_what_was_there(
    trained_workspace: TrainedWorkspace,
) -> None:
    """Changed by a bit, a copy fits any papers that are made for it, but not those of before."""
    first = revoke(trained_workspace, trained_workspace.revocable[0])
    escrow = escrow_of(first)
    with pytest.MonkeyPatch.context() as patch:
        nudged(patch, None)
        second = revoke(trained_workspace, trained_workspace.revocable[1])
    assert "which is the issuer's word" in judge(second, second.root).reason
    found = with_escrow(second, escrow)
    assert (found.exit_code, found.code) == (3, "reproduce.chain"), found


def test_an_addition_that_was_logged_breaks_the_chain_and_accuses_nobody(
    trained_workspace: TrainedWorkspace,
) -> None:
    first = revoke(trained_workspace, trained_workspace.revocable[0])
    escrow, second = escrow_of(first), trained_workspace.revocable[1]
    must_run(trained_workspace.root, "data", "add", *archive(trained_workspace, ["n1"], second))
    later = revoke(trained_workspace, second)
    found = judge(later, later.root)
    assert (found.exit_code, found.result) == (0, "pass"), found
    assert "data set of before, which is the issuer's word" in found.reason
    assert first.bundle.stem not in found.reason
    assert_not_used(with_escrow(later, escrow), first)


def assert_not_used(found: Verdict, escrowed: Revoked) -> None:
    """Whoever gives an escrow relies on it."""
    assert (found.exit_code, found.code) == (3, "reproduce.chain"), found
    assert escrowed.bundle.stem in found.reason


def test_an_escrow_that_cannot_be_used_is_not_passed_over(
    trained_workspace: TrainedWorkspace,
) -> None:
    """Of another certificate than the one before, or its bundle is not in the copy."""
    first = revoke(trained_workspace, trained_workspace.revocable[0])
    second = revoke(trained_workspace, trained_workspace.revocable[1])
    third = revoke(trained_workspace, trained_workspace.revocable[2])
    escrows = {one: escrow_of(one) for one in (first, second)}
    assert with_escrow(third, escrows[second]).result == "pass"
    assert_not_used(with_escrow(third, escrows[first]), first)
    second.bundle.unlink()
    assert_not_used(with_escrow(third, escrows[second]), second)


def test_a_head_that_the_certificate_before_had_was_not_replaced(
    trained_workspace: TrainedWorkspace,
) -> None:
    """Whatever its distance from the new optimum: fresh noise never gives the same file."""
    first = revoke(trained_workspace, trained_workspace.revocable[0])
    with pytest.MonkeyPatch.context() as patch:
        cheats.old_heads(patch, trained_workspace.session())
        second = revoke(trained_workspace, trained_workspace.revocable[1])
    found = judge(second, second.root)
    assert (found.exit_code, found.code) == (1, "reproduce.head"), found
    assert f"was not replaced: it is that of certificate {first.bundle.stem}" in found.reason


def test_a_certificate_that_left_the_model_alone_has_one_before_it_too(spread: Spread) -> None:
    """Those of one batch have one model, too, but lie side by side in the log."""
    workspace, (one, two, *_) = spread.workspace, spread.users
    revoke(workspace, one)
    before = revoke(workspace, two)
    must_run(workspace.root, "key", "add")
    alone = revoke(workspace, spread.silent)
    found = judge(alone, alone.root)
    assert found.result == "pass", found
    assert f"the escrow of certificate {before.bundle.stem} beside the receipt" in found.reason
    assert with_escrow(alone, escrow_of(before)).result == "pass"
