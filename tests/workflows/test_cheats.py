"""Engines that sign and cheat: each is caught by `mbd state check`, whatever its paper says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from mbd.canonical.json import dumps
from mbd.certificate.bundle import Bundle, parse_bundle
from mbd.database import pointers
from mbd.head.solve import solve
from mbd.ledger.entry import signed_entry
from mbd.ledger.log import Labels
from mbd.privacy.accountant import noise_steps
from mbd.workflows.demo import keep_model, plant_lazy_engine
from mbd.workflows.session import Session
from mbd.workflows.snapshots import POLICY_FILE, ReleasedHead, derive_model
from tests.conftest import SERVICE
from tests.workspaces import TrainedWorkspace, describe, must_run, run_mbd


@pytest.fixture
def revoked(trained_workspace: TrainedWorkspace) -> TrainedWorkspace:
    """A workspace in which one person's audio was honestly revoked."""
    user = trained_workspace.revocable[0]
    must_run(trained_workspace.root, "revoke", "--user", user, "--modality", "audio")
    assert run_mbd(trained_workspace.root, "state", "check").code == 0
    return trained_workspace


def findings(workspace: TrainedWorkspace, *options: str) -> list[str]:
    """What the check finds; it must find something, and say so with its exit code."""
    ran = run_mbd(workspace.root, "state", "check", *options, "--json")
    assert ran.code == 1, ran.err
    found: list[str] = json.loads(ran.out)["findings"]
    return found


def test_an_engine_that_changed_no_weight_is_caught(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    root = trained_workspace.root
    before = keep_model(root, tmp_path / "before")
    must_run(root, "revoke", "--user", trained_workspace.revocable[0], "--modality", "audio")
    plant_lazy_engine(root, before, tmp_path / "cheat")

    found = findings(TrainedWorkspace(tmp_path / "cheat", (), ()))

    assert any("further from the optimum" in line for line in found)
    assert any("differs from the retained rows" in line for line in found)


def test_an_engine_that_only_signed_and_logged_is_caught(
    original: Path, revoked: TrainedWorkspace, tmp_path: Path
) -> None:
    """No suppression, no subtraction, no erasure: state and rows agree with each other."""
    bundle = next((revoked.root / "certs").glob("*.json"))
    receipt = revoked.root / "receipts" / bundle.name
    shutil.copytree(original / SERVICE, tmp_path / "idle")
    shutil.rmtree(tmp_path / "state")
    idle = describe(tmp_path / "idle")
    log_certificate(idle.session(), parse_bundle(bundle.read_bytes()))

    found = findings(idle, "--receipt", str(receipt))

    assert any("no channel was switched off" in line for line in found)
    assert any("is not the one that certificate" in line for line in found)
    assert any("audio is still in use" in line for line in found)
    assert any("audio is still in the data store" in line for line in found)
    assert any("audio is still in the rows of" in line for line in found)


def log_certificate(session: Session, bundle: Bundle) -> None:
    """Append a certificate without having done anything for it."""
    envelope, predicate = bundle.envelope, bundle.statement().predicate
    signatures = [signature.value for signature in envelope.signatures]
    entry = signed_entry("certificate", datetime.now(UTC), envelope.signed_bytes(), signatures)
    labels = Labels(
        guarantee_class=predicate.guarantee.guarantee_class,
        modalities=predicate.deletion.modalities,
        certificate_id=predicate.certificate_id,
    )
    with session.database.transaction() as connection:
        session.log.append(connection, entry, dumps(envelope.to_json()), labels)


def test_raw_data_left_in_the_store_is_caught(trained_workspace: TrainedWorkspace) -> None:
    store, user = trained_workspace.session().store(), trained_workspace.revocable[0]
    held = store.read_bucket(store.bucket_of(user))
    must_run(trained_workspace.root, "revoke", "--user", user, "--modality", "audio")
    after = trained_workspace.session().store()
    after.replace_bucket(after.bucket_of(user), held)
    assert findings(trained_workspace) == ["revoked audio is still in the data store"]


def test_rows_kept_under_somebody_elses_name_are_caught(
    trained_workspace: TrainedWorkspace,
) -> None:
    session, user = trained_workspace.session(), trained_workspace.revocable[0]
    prepared = session.prepared(session.model().policy.training_id)
    bucket = prepared.bucket_of(user)
    kept = prepared.read_bucket(bucket)
    neighbour = next(name for name in kept["audio"].subjects if name != user)
    relabelled = {
        head: type(rows)(
            rows.record_ids,
            tuple(neighbour if name == user else name for name in rows.subjects),
            rows.v,
            rows.t,
        )
        for head, rows in kept.items()
    }
    must_run(trained_workspace.root, "revoke", "--user", user, "--modality", "audio")
    prepared = session.prepared(session.model().policy.training_id)
    prepared.write_bucket(bucket, relabelled)
    found = findings(trained_workspace)
    assert "head audio: a row has no record with these channels behind it" in found


def without_noise(session: Session) -> dict[str, ReleasedHead]:
    """The optimum itself, declared as released without noise."""
    policy, state = session.model().policy, session.state()
    constants = policy.heads["audio"].constants
    return {"audio": ReleasedHead(solve(state.load("audio"), constants.scale, constants.grid), 0)}


def with_coin_flips(session: Session) -> dict[str, ReleasedHead]:
    """The optimum plus or minus sigma: the right size, and no Gaussian."""
    policy, state = session.model().policy, session.state()
    constants = policy.heads["audio"].constants
    steps = noise_steps(constants.sigma, constants.grid)
    optimum = solve(state.load("audio"), constants.scale, constants.grid)
    signs = np.random.default_rng(0).choice([-1, 1], size=optimum.shape)
    return {"audio": ReleasedHead(optimum + steps * signs, steps)}


@pytest.mark.parametrize(
    ("cheat", "reason"),
    [(without_noise, "noise is not the one"), (with_coin_flips, "not Gaussian noise")],
)
def test_a_release_without_its_noise_is_caught(
    revoked: TrainedWorkspace,
    cheat: Callable[[Session], dict[str, ReleasedHead]],
    reason: str,
) -> None:
    session = revoked.session()
    snapshot = session.model().snapshot
    forged = derive_model(snapshot, "01J00000000000000000000000", cheat(session))
    with session.database.transaction() as connection:
        pointers.set(connection, "model", forged.to_pointer())
        connection.exec_driver_sql(
            "UPDATE model SET model_id = ? WHERE model_id = ?", (forged.model_id, snapshot.model_id)
        )
    found = findings(revoked)
    assert any(line.startswith("head audio:") and reason in line for line in found)
    assert any("the model is not the one that certificate" in line for line in found)


def test_a_policy_that_was_not_announced_is_caught(revoked: TrainedWorkspace) -> None:
    session = revoked.session()
    snapshot = session.model().snapshot
    path = snapshot.folder / POLICY_FILE
    path.write_bytes(path.read_bytes().replace(b'"seed":0', b'"seed":1'))
    forged = derive_model(snapshot, "01J00000000000000000000000", {})
    forged = type(forged)(forged.model_id, forged.folder, rehashed(forged.folder))
    with session.database.transaction() as connection:
        pointers.set(connection, "model", forged.to_pointer())
        connection.exec_driver_sql(
            "UPDATE model SET model_id = ? WHERE model_id = ?", (forged.model_id, snapshot.model_id)
        )
    assert any("is not the policy that ledger entry" in line for line in findings(revoked))


def rehashed(folder: Path):  # type: ignore[no-untyped-def]
    """The manifest of a folder as it is."""
    from mbd.workflows.snapshots import _manifest

    return _manifest(folder)
