"""What must hold after revocations, whatever their order."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbd.workflows.opening import open_session
from mbd.workflows.resolve import RevocationRequest, Terms
from mbd.workflows.revoke import revoke_modality
from mbd.workflows.state_check import check_state
from mbd.workspace.layout import open_workspace
from tests.workspaces import TrainedWorkspace, must_run, run_mbd


def test_a_revoked_channel_leaves_model_and_data_and_the_certificate_verifies(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    before = trained_workspace.session().find_model()
    assert before is not None
    untouched = {f.path: f.sha256 for f in before.files if "audio" not in f.path}

    done = must_run(root, "revoke", "--user", user, "--modality", "audio", "--json").json

    assert done["class"] == "certified"
    assert done["heads"] == ["audio", "audio+text", "audio+text+vision", "audio+vision"]
    verified = must_run(root, "verify", done["bundle"], "--receipt", done["receipt"], "--json").json
    assert verified["verdict"] == "valid"
    assert verified["levelReached"] == "LOGGED+SUBJECT"
    checked = must_run(root, "state", "check", "--json").json
    assert checked["equal"]
    after = trained_workspace.session().find_model()
    assert after is not None
    assert {f.path: f.sha256 for f in after.files if "audio" not in f.path} == untouched
    held = trained_workspace.session().store().read(subjects=[user])
    assert all(value is None for value in held.x["audio"])
    again = run_mbd(root, "revoke", "--user", user, "--modality", "audio", "--json")
    assert again.code == 6
    assert done["certificateId"] in again.json["error"]["message"]


def test_the_model_that_a_certificate_names_is_the_one_in_service(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    done = must_run(root, "revoke", "--user", user, "--modality", "text", "--json").json
    model = trained_workspace.session().find_model()
    assert model is not None
    verified = must_run(root, "verify", done["bundle"], "--model", str(model.folder), "--json").json
    assert verified["levelReached"] == "LOGGED+ARTIFACTS"


def test_a_request_id_makes_a_revocation_repeatable(trained_workspace: TrainedWorkspace) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    command = ["revoke", "--user", user, "--modality", "audio", "--request-id", "r-1", "--json"]
    first = must_run(root, *command).json
    second = must_run(root, *command).json
    assert second["certificateId"] == first["certificateId"]
    assert second["repeated"]
    assert (
        len(must_run(root, "ledger", "list", "--class", "certified", "--json").json["entries"]) == 1
    )
    other = ["revoke", "--user", user, "--modality", "text", "--request-id", "r-1", "--json"]
    assert run_mbd(root, *other).code == 6


def test_an_exact_revocation_releases_the_optimum_itself(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    command = ["revoke", "--user", user, "--modality", "vision", "--method", "exact", "--json"]
    done = must_run(root, *command).json
    assert (done["class"], done["epsilon"], done["delta"]) == ("exact", "0", "0")
    assert must_run(root, "verify", done["bundle"], "--json").json["verdict"] == "valid"
    assert must_run(root, "state", "check", "--json").json["equal"]


def test_a_basis_that_no_certificate_may_say_is_refused_before_anything_is_recorded(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    for basis in ("see /srv/requests/42", "as asked\x1b[2J", ""):
        monkeypatch.setenv("MBD_DELETION__BASIS", basis)
        ran = run_mbd(root, "revoke", "--user", user, "--modality", "audio", "--json")
        assert (ran.code, ran.json["error"]["field"]) == (1, "basis")
    monkeypatch.delenv("MBD_DELETION__BASIS")
    must_run(root, "revoke", "--user", user, "--modality", "audio", "--json")


def test_a_dry_run_changes_nothing(trained_workspace: TrainedWorkspace) -> None:
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and ".db" not in p.name}
    preview = must_run(
        root, "revoke", "--user", user, "--modality", "audio", "--dry-run", "--json"
    ).json
    assert preview["rows"] > 0
    assert preview["heads"] == ["audio", "audio+text", "audio+text+vision", "audio+vision"]
    after = {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and ".db" not in p.name}
    assert before == after
    assert must_run(root, "ledger", "list", "--class", "certified", "--json").json["entries"] == []


@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(order=st.permutations(["audio", "text", "vision"]), data=st.data())
def test_any_sequence_of_revocations_leaves_the_state_of_the_retained_rows(
    original: object, tmp_path_factory: object, order: list[str], data: st.DataObject
) -> None:
    """Whatever is revoked in whatever order, the state is one that never saw it."""
    import shutil
    from pathlib import Path

    import pytest

    from tests.conftest import SERVICE, STATE
    from tests.workspaces import describe

    assert isinstance(original, Path)
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    folder = tmp_path_factory.mktemp("sequence")
    shutil.copytree(original, folder, dirs_exist_ok=True)
    found = describe(folder / SERVICE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / STATE))
        with open_session(open_workspace(found.root), write=True) as session:
            for modality in order:
                user = data.draw(st.sampled_from(found.revocable))
                method = data.draw(st.sampled_from(["surgical", "exact"]))
                request = RevocationRequest(subject=user, modalities=(modality,))
                revoke_modality(session, request, Terms(method=method))
                checked = check_state(session)
                assert checked.ok, checked.findings
