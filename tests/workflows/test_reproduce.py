"""An honest certificate is reproduced from a read-only copy without keys, and nothing else is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from mbd.certificate.escrow import make_escrow, parse_escrow
from mbd.data.buckets import BucketFolder, NewBucket
from mbd.data.prepared import PreparedRows
from mbd.errors import ArithmeticRefused, DataError
from mbd.verify import load_trust, logged, signed
from mbd.verify.case import Case, NotReached, Undecided
from mbd.workflows.reproduce import make_reproducer, reproducer
from mbd.workflows.reproduce.released import ReleasedFiles, find_released
from mbd.workflows.session import Session
from tests.workflows.auditing import (
    Revoked,
    contents,
    copy_of,
    escrow_of,
    handed_over,
    honest_revocation,
    judge,
    revoke,
    verdict_of,
)
from tests.workflows.conftest import Spread
from tests.workspaces import TrainedWorkspace, must_run, run_mbd


@pytest.fixture(scope="module")
def original_revoked(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Revoked:
    """Somebody's voice was honestly revoked; made once."""
    folder = tmp_path_factory.mktemp("revoked")
    return honest_revocation(original, folder)


@pytest.fixture
def revoked(original_revoked: Revoked, tmp_path: Path) -> Revoked:
    """A copy of it for each test."""
    return copy_of(original_revoked, tmp_path)


def test_an_honest_certificate_is_reproduced_from_a_copy_that_is_not_written_to(
    revoked: Revoked,
) -> None:
    folder = handed_over(revoked)
    before = contents(folder)

    found = judge(revoked, folder)

    assert (found.exit_code, found.result, found.code) == (0, "pass", "ok"), found.reason
    assert found.reason.startswith("REPRODUCED: ")
    assert found.level.endswith("+REPRODUCED")
    assert contents(folder) == before, "the auditor's copy is as it was"


def test_an_escrow_opens_it_too_and_says_what_it_cannot_show(revoked: Revoked) -> None:
    found = judge(revoked, handed_over(revoked), escrow=escrow_of(revoked))
    assert (found.exit_code, found.result) == (0, "pass"), found.reason
    assert "takes the receipt" in found.reason


@pytest.mark.parametrize("method", ["exact", "retrain"])
def test_a_certificate_without_noise_is_reproduced_bit_for_bit(
    trained_workspace: TrainedWorkspace, method: str
) -> None:
    revoked = revoke(trained_workspace, trained_workspace.revocable[0], "--method", method)
    folder = handed_over(revoked)
    for found in (judge(revoked, folder), judge(revoked, folder, escrow=escrow_of(revoked))):
        assert (found.exit_code, found.result) == (0, "pass"), found.reason
        assert "every row was made again from its record" in found.reason
        assert ("the policy and the core were not" in found.reason) == (method == "retrain")
        assert ("bit for bit" in found.reason) == (method == "retrain"), "other heads keep theirs"


def test_every_certificate_of_a_batch_is_reproduced(trained_workspace: TrainedWorkspace) -> None:
    root = trained_workspace.root
    one, two = trained_workspace.revocable[:2]
    path = root.parent / "batch.csv"
    path.write_text(f"user,modality\n{one},audio\n{two},text\n")
    must_run(root, "revoke", "--batch", str(path))
    for receipt in sorted((root / "receipts").iterdir()):
        member = Revoked(trained_workspace, "", root / "certs" / receipt.name, receipt)
        found = judge(member, root)
        assert (found.exit_code, found.result) == (0, "pass"), found.reason


def test_somebody_without_training_rows_has_a_certificate_that_is_reproduced(
    spread: Spread,
) -> None:
    found = judge(silent := revoke(spread.workspace, spread.silent), handed_over(silent))
    assert (found.exit_code, found.result) == (0, "pass"), found.reason


def test_all_channels_of_a_person_are_gone(revoked: Revoked) -> None:
    everything = revoke(revoked.workspace, revoked.workspace.revocable[1], modality="all")
    assert judge(everything, handed_over(everything)).result == "pass"


def test_the_operator_can_run_it_on_the_workspace_itself(revoked: Revoked) -> None:
    assert judge(revoked, revoked.root).exit_code == 0


def test_without_anything_that_opens_it_nothing_is_decided(revoked: Revoked) -> None:
    found = verdict_of(revoked, "--reproduce", str(handed_over(revoked)))
    assert (found.exit_code, found.result, found.code) == (3, "skipped", "reproduce.openings")
    assert found.reason.startswith("UNVERIFIABLE: ")


def test_an_excerpt_opens_too_little(revoked: Revoked) -> None:
    item = json.loads(revoked.receipt.read_bytes())["items"][0]
    out = revoked.outside / "excerpt.json"
    which = ("--record", item["record"], "--modality", item["modality"], "--out", str(out))
    must_run(revoked.outside, "receipt", "item", str(revoked.receipt), *which)
    found = judge(revoked, revoked.root, receipt=out)
    assert (found.exit_code, found.code) == (3, "reproduce.excerpt")


def test_what_opens_another_certificate_decides_nothing(revoked: Revoked) -> None:
    second = revoke(revoked.workspace, revoked.workspace.revocable[1], modality="text")
    by_receipt = judge(second, second.root, receipt=revoked.receipt)
    by_escrow = judge(second, second.root, escrow=escrow_of(revoked))
    assert (by_receipt.exit_code, by_receipt.code) == (3, "reproduce.other")
    assert (by_escrow.exit_code, by_escrow.code) == (3, "reproduce.other")


def test_an_escrow_with_other_salts_accuses_nobody(revoked: Revoked) -> None:
    path = escrow_of(revoked)
    wrong = dict.fromkeys(("datasetAfter", "stateAfter"), b"\x01" * 32)
    path.write_bytes(make_escrow(parse_escrow(path.read_bytes()).certificate_id, wrong).to_bytes())
    found = judge(revoked, handed_over(revoked), escrow=path)
    assert (found.exit_code, found.result, found.code) == (3, "skipped", "reproduce.salts")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"escrow": 1}', b"\xff" * 10])
def test_what_is_no_escrow_accuses_nobody(revoked: Revoked, content: bytes) -> None:
    path = revoked.outside / "escrow.json"
    path.write_bytes(content)
    found = judge(revoked, revoked.root, escrow=path)
    assert (found.exit_code, found.result, found.code) == (3, "skipped", "escrow.schema")


def test_an_escrow_has_one_spelling(revoked: Revoked) -> None:
    content = escrow_of(revoked).read_bytes()
    assert parse_escrow(content).to_bytes() == content
    spaced = json.dumps(json.loads(content)).encode() + b"\n"
    for other in (content + b"\n", content[:-1], spaced, content.replace(b"v1", b"v2")):
        with pytest.raises(DataError):
            parse_escrow(other)


@pytest.mark.parametrize("part", ["data", "store", "prepared", "models"])
def test_a_copy_without_the_data_decides_nothing(revoked: Revoked, part: str) -> None:
    found = judge(revoked, handed_over(revoked, without=(part,)))
    assert (found.exit_code, found.code) == (3, "reproduce.incomplete"), found.reason


def test_the_model_may_come_from_elsewhere(revoked: Revoked) -> None:
    (model,) = (revoked.root / "models").iterdir()
    folder = handed_over(revoked, without=("models",))
    found = judge(revoked, folder, "--model", str(model))
    assert (found.exit_code, found.result) == (0, "pass"), found
    assert "ARTIFACTS" in found.level


def model_file(root: Path, path: str) -> Path:
    (found,) = (root / "models").glob(f"*/{path}")
    return found


GOES_ON: dict[str, Callable[[Path], object]] = {
    "models removed": lambda root: shutil.rmtree(root / "models"),
    "a head cut": lambda root: model_file(root, "heads/audio.safetensors").write_bytes(b""),
    "heads are no folder": lambda root: shutil.rmtree(model_file(root, "heads")),
    "another policy": lambda root: model_file(root, "policy.json").write_bytes(b"{}"),
}


@pytest.mark.parametrize("name", GOES_ON)
def test_a_model_that_is_replaced_while_it_is_read_accuses_nobody(
    revoked: Revoked, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service goes on: a revocation removes the model of before."""

    def found_then_changed(models: Path, case: Case) -> ReleasedFiles:
        found = find_released(models, case)
        GOES_ON[name](revoked.root)
        return found

    monkeypatch.setattr(reproducer, "find_released", found_then_changed)
    found = judge(revoked, revoked.root)
    assert (found.exit_code, found.code) == (3, "reproduce.unfinished"), found
    assert "while it was read" in found.reason


def test_a_torn_file_accuses_nobody(revoked: Revoked) -> None:
    session = revoked.workspace.session()
    for folder in (session.store_folder, session.prepared_folder(_training(session))):
        (path,) = BucketFolder.open(folder).paths()[:1]
        whole = path.read_bytes()
        path.write_bytes(whole[:-7])
        found = judge(revoked, revoked.root)
        assert (found.exit_code, found.code) == (3, "reproduce.unreadable"), found.reason
        assert path.name in found.reason
        path.write_bytes(whole)
    for path in (
        *revoked.root.glob("models/*/heads/audio.*"),
        *revoked.root.glob("state/*/text.*"),
    ):
        whole = path.read_bytes()
        path.unlink()  # it may be another name of a file elsewhere
        path.write_bytes(whole[:-7])
        found = judge(revoked, revoked.root)
        assert (found.exit_code, found.code) == (3, "reproduce.unreadable"), found.reason
        path.write_bytes(whole)
    assert judge(revoked, revoked.root).result == "pass"


def missing(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()  # it may be another name of a file elsewhere
    path.write_bytes(content[:-7])


def with_a_bad_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [missing, cut, with_a_bad_bit])
def test_a_model_or_state_that_came_to_harm_accuses_nobody(
    revoked: Revoked, harm: Callable[[Path], None]
) -> None:
    patterns = ("models/*/policy.json", "models/*/heads/text.*", "state/*/text.*")
    for pattern in patterns:
        (path,) = revoked.root.glob(pattern)
        whole = path.read_bytes()
        harm(path)
        found = judge(revoked, revoked.root)
        if harm is missing and pattern == "state/*/text.*":
            assert found.result == "pass", "it is not needed"
        else:
            assert (found.exit_code, found.result) == (3, "skipped"), (pattern, found)
            assert found.code in ("reproduce.incomplete", "reproduce.unreadable"), found
        path.unlink(missing_ok=True)
        path.write_bytes(whole)


def test_a_folder_that_is_no_workspace_decides_nothing(revoked: Revoked) -> None:
    (revoked.outside / "empty").mkdir()
    found = judge(revoked, revoked.outside / "empty")
    assert (found.exit_code, found.code) == (3, "reproduce.incomplete")


def test_the_escrow_of_what_is_unknown_or_forgotten_is_refused(revoked: Revoked) -> None:
    unknown = run_mbd(revoked.root, "certificate", "escrow", "01J00000000000000000000000")
    assert unknown.code == 4
    revoked.workspace.session().secrets.forget_salts(revoked.bundle.stem, ["stateAfter"])
    forgotten = run_mbd(revoked.root, "certificate", "escrow", revoked.bundle.stem, "--json")
    assert (forgotten.code, forgotten.json["error"]["code"]) == (5, "escrow.forgotten")
    assert run_mbd(revoked.root, "certificate", "escrow", "nothing.json").code == 4


def test_an_escrow_is_written_for_its_owner_only(revoked: Revoked) -> None:
    out = revoked.outside / "escrow.json"
    must_run(revoked.root, "certificate", "escrow", revoked.bundle.stem, "--out", str(out))
    assert out.stat().st_mode & 0o077 == 0
    assert parse_escrow(out.read_bytes()).certificate_id == revoked.bundle.stem


def case_of(revoked: Revoked) -> Case:
    """The certificate as check 21 meets it."""
    trust = load_trust(revoked.root / "trust.toml")
    case = Case(revoked.bundle.read_bytes(), trust, datetime.now(UTC))
    for check in (signed.parse, signed.statement, logged.leaf, logged.inclusion):
        check(case)
    return case


def reproduce(revoked: Revoked, case: Case) -> str:
    """Check 21 with the receipt."""
    return make_reproducer(revoked.root, receipt=revoked.receipt.read_bytes())(case)


def test_a_measurement_is_nothing_to_reproduce(revoked: Revoked) -> None:
    """No engine here issues such a certificate, so this one is made of a certified one."""
    case = case_of(revoked)
    assert reproduce(revoked, case).startswith("REPRODUCED: ")
    predicate = case.statement.predicate
    guarantee = predicate.guarantee.model_copy(
        update={"guarantee_class": "empirical", "parameters": ()}
    )
    changed = predicate.model_copy(update={"guarantee": guarantee})
    case.found_statement = case.statement.model_copy(update={"predicate": changed})
    with pytest.raises(Undecided) as caught:
        reproduce(revoked, case)
    assert caught.value.code == "reproduce.empirical"


def test_a_head_that_cannot_be_solved_here_accuses_nobody(
    revoked: Revoked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> None:
        raise ArithmeticRefused("not positive definite in float64")

    monkeypatch.setattr("mbd.workflows.reproduce.heads.solve", refused)
    assert judge(revoked, revoked.root).code == "reproduce.arithmetic"


def test_a_certificate_that_is_not_in_the_log_is_not_looked_for(revoked: Revoked) -> None:
    """The ledger is asked only about an entry that was proved to be in it."""
    case = case_of(revoked)
    case.found_proof = case.found_checkpoint = None
    second = revoke(revoked.workspace, revoked.workspace.revocable[1])
    assert second.bundle.is_file()
    with pytest.raises(NotReached):
        reproduce(revoked, case)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(200) + b"PAR1"])
@pytest.mark.parametrize("what", ["store", "prepared"])
def test_nonsense_with_the_right_digest_accuses_nobody(
    revoked: Revoked, what: str, content: bytes
) -> None:
    session = revoked.workspace.session()
    path = session.store_folder
    if what == "prepared":
        path = session.prepared_folder(_training(session))
    folder = BucketFolder.open(path)
    folder.commit([(0, NewBucket(content=content, facts={"rows": {}, "records": 0, "root": ""}))])
    found = judge(revoked, revoked.root)
    assert (found.exit_code, found.code) == (3, "reproduce.unreadable"), found.reason


@pytest.mark.parametrize("width", [1, 400])
def test_rows_of_another_width_accuse_nobody(revoked: Revoked, width: int) -> None:
    session = revoked.workspace.session()
    prepared = session.prepared(_training(session))
    rows = prepared.read_bucket(0)
    other = {
        head: PreparedRows(
            found.record_ids, found.subjects, np.zeros((len(found), width), np.int16), found.t
        )
        for head, found in rows.items()
    }
    prepared.write_bucket(0, other)
    assert judge(revoked, revoked.root).code == "reproduce.unreadable"


def test_data_that_changes_while_it_is_read_accuses_nobody(revoked: Revoked) -> None:
    case, store = case_of(revoked), revoked.workspace.session().store()

    def busy(title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        return nullcontext(lambda done, total: store.replace_bucket(0, store.read_bucket(0)))

    receipt = revoked.receipt.read_bytes()
    with pytest.raises(Undecided) as caught:
        make_reproducer(revoked.root, receipt=receipt, progress=busy)(case)
    assert caught.value.code == "reproduce.unfinished"


def test_it_says_how_far_it_is(revoked: Revoked) -> None:
    seen: list[tuple[int, int]] = []
    case, receipt = case_of(revoked), revoked.receipt.read_bytes()

    def shown(title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        return nullcontext(lambda done, total: seen.append((done, total)))

    make_reproducer(revoked.root, receipt=receipt, progress=shown)(case)
    assert seen
    assert all(0 <= done < total for done, total in seen)


def _training(session: Session) -> str:
    return session.model().policy.training_id
