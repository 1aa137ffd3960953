"""Verifiers that believed what they were shown, or spoke too early."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from mbd.canonical.digest import b64encode
from mbd.certificate.bundle import Bundle, parse_bundle
from mbd.cli.main import invoke
from mbd.ledger.queries import list_entries
from mbd.verify import run as verify_run
from mbd.verify import verify_bundle
from mbd.verify.case import Case, CheckFailed, Undecided
from mbd.verify.trust_text import render_trust
from tests.verify.mutations import Pairs, at, edits, read, replaced, write
from tests.verify.world import LATER, World, make_world
from tests.workspaces import TrainedWorkspace, must_run, run_mbd

WORLD = make_world()
NUMBERS = range(1, len(verify_run.CHECKS) + 1)


# --- keys that came with the receipt -------------------------------------------------------


def with_keys(text: str, world: World) -> Iterator[str]:
    """A text of JSON with a key of `world` as a further member of each of its objects."""
    der = b64encode(world.issuer.public.der)
    names = ("publicKey", "key", "keys", "cert", "x5c", "jwk", "verificationMaterial", "trust")
    whole = read(text)
    for edit in edits(text):
        if edit.words != "another key":
            continue
        place = at(whole, edit.path)
        for name in names:
            for value in (der, [der], Pairs([("publicKey", der)]), world.issuer.key_id):
                yield write(replaced(whole, edit.path, Pairs([*place, (name, value)])))


def test_keys_embedded_in_the_receipt_and_trusted() -> None:
    """Elsewhere a certificate carried the key to check it with, so anybody could make one.

    Here a stranger's certificate, under the same name, with its keys wherever they can be put, is
    never valid for whoever trusts another key; and nobody is trusted without a trust file.
    """
    stranger = make_world()
    assert stranger.statement.predicate.issuer == WORLD.statement.predicate.issuer
    assert verify_bundle(stranger.data, stranger.trust, now=LATER).exit_code == 0

    assert verify_bundle(stranger.data, WORLD.trust, now=LATER).exit_code == 3
    assert verify_bundle(stranger.data, None, now=LATER).exit_code == 3
    for text in with_keys(stranger.data.decode(), stranger):
        assert verify_bundle(text.encode(), WORLD.trust, now=LATER).exit_code == 1
    for text in with_keys(stranger.receipt.to_bytes().decode(), stranger):
        report = verify_bundle(stranger.data, WORLD.trust, now=LATER, receipt=text.encode())
        assert report.exit_code in (1, 3)


def test_a_trust_file_beside_the_certificate_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends a certificate sends the folder, too."""
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "cert.json").write_bytes(WORLD.data)
    (sent / "trust.toml").write_text(render_trust(WORLD.trust))
    monkeypatch.chdir(tmp_path)

    assert invoke(["verify", str(sent / "cert.json")]) == 3
    assert invoke(["verify", str(sent / "cert.json"), "--trust", str(sent / "trust.toml")]) == 0


# --- success before the last check ---------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cert.json").write_bytes(WORLD.data)
    (tmp_path / "trust.toml").write_text(render_trust(WORLD.trust))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sabotage(monkeypatch: pytest.MonkeyPatch, number: int, instead: Callable[[Case], str]) -> None:
    """Another function in the place of a check."""
    checks = list(verify_run.CHECKS)
    name, level, _ = checks[number - 1]
    checks[number - 1] = (name, level, instead)
    monkeypatch.setattr(verify_run, "CHECKS", tuple(checks))


def fails(case: Case) -> str:
    raise CheckFailed("sabotage", code="leaf.mismatch")


def skips(case: Case) -> str:
    raise Undecided("sabotage", code="log.unknown")


def breaks(case: Case) -> str:
    raise ZeroDivisionError("sabotage")


def promising(text: str) -> bool:
    """Whether a reader could take the text for a success."""
    return any(line.startswith(("VALID", "OK", "valid")) for line in text.splitlines())


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_verifier_that_exited_0_on_failure(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    form: str,
) -> None:
    """Elsewhere a failed check was printed, and the exit code said success.

    Here every check in turn fails, is skipped, or breaks: exit code and last word follow.
    """
    command = ["verify", "cert.json", *(["--json"] if form == "json" else [])]
    required = verify_run.CHECKS[number - 1][1] in ("SIGNED", "LOGGED")
    for instead, codes in ((fails, {1}), (skips, {3} if required else {0}), (breaks, {70})):
        with monkeypatch.context() as patch:
            sabotage(patch, number, instead)
            code = invoke(command)
        out = capsys.readouterr().out
        assert code in codes, instead
        assert promising(out) == (code == 0 and form == "text")
        if form == "json":
            found = json.loads(out)
            assert found.get("exitCode", found.get("error", {}).get("exitCode")) == code
            assert (found.get("verdict") == "valid") == (code == 0)


def test_a_verifier_that_printed_success_before_the_last_check(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Elsewhere the checkmark was on the screen while the signature was still to be checked.

    Here nothing has been printed when the last check runs; it fails, and nothing good is said.
    """
    printed: list[str] = []

    def last(case: Case) -> str:
        shown = capsys.readouterr()
        printed.append(shown.out + shown.err)
        return fails(case)

    sabotage(monkeypatch, len(verify_run.CHECKS), last)

    assert invoke(["verify", "cert.json"]) == 1
    assert printed == [""]
    assert not promising(capsys.readouterr().out)


@pytest.mark.parametrize("name", ["cert.json", "broken.json"])
def test_a_verdict_that_nobody_could_read_is_no_success(folder: Path, name: str) -> None:
    """A full disk under the output, or no reader; with no output at all the exit code speaks."""
    (folder / "broken.json").write_bytes(WORLD.data[:-1])
    program = f"{shlex.quote(sys.executable)} -m mbd verify {name} --no-memory 2>errors"

    def code(redirected: str) -> int:
        return subprocess.run(["sh", "-c", f"{program} {redirected}"], check=False).returncode

    assert code(">/dev/full") == 70
    assert code(">&-") == (0 if name == "cert.json" else 1)
    assert "Traceback" not in (folder / "errors").read_text()


# --- somebody else's entry -----------------------------------------------------------------


def judged(root: Path, folder: Path, bundle: Bundle) -> tuple[int, set[str]]:
    """Exit code of a real `mbd verify`, and the codes of what failed."""
    path = folder / "bent.json"
    path.write_bytes(bundle.to_bytes())
    ran = run_mbd(root, "verify", str(path), "--json")
    document: Any = ran.json
    return ran.code, {one["code"] for one in document["checks"] if one["result"] == "fail"}


def test_a_log_entry_of_another_artefact_accepted(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    """Elsewhere any entry of the log would do, as long as its own proof held.

    Here three real certificates of one log exchange entries and proofs, together and apart.
    """
    root, bundles = trained_workspace.root, []
    for user in trained_workspace.revocable[:3]:
        asked = ["revoke", "--user", user, "--modality", "audio", "--json"]
        bundles.append(parse_bundle(Path(must_run(root, *asked).json["bundle"]).read_bytes()))
    for one in bundles:
        assert judged(root, tmp_path, one) == (0, set())

    for one, other in permutations(bundles, 2):
        whole = Bundle(one.envelope, other.entry, other.tlog_proof)
        assert judged(root, tmp_path, whole) == (1, {"leaf.mismatch"})
        code, codes = judged(root, tmp_path, Bundle(one.envelope, one.entry, other.tlog_proof))
        assert (code, "incl.invalid" in codes) == (1, True)
        code, codes = judged(root, tmp_path, Bundle(one.envelope, other.entry, one.tlog_proof))
        assert (code, "leaf.mismatch" in codes) == (1, True)


def test_an_entry_of_another_kind_accepted(trained_workspace: TrainedWorkspace) -> None:
    """The policy has an entry, too, and a proof that holds: it certifies nothing."""
    root = trained_workspace.root
    asked = ["revoke", "--user", trained_workspace.revocable[0], "--modality", "audio", "--json"]
    path = Path(must_run(root, *asked).json["bundle"])
    bundle = parse_bundle(path.read_bytes())
    session = trained_workspace.session()
    with session.database.read() as connection:
        entries = [(one.index, one.type, one.leaf) for one in list_entries(connection)]
    others = [(index, leaf) for index, kind, leaf in entries if kind != "certificate"]
    assert {kind for _, kind, _ in entries} >= {"policy", "key-add", "attempt"}
    for index, leaf in others:
        bent = Bundle(bundle.envelope, leaf, session.log.proof_bundle(index))
        code, codes = judged(root, path.parent, bent)
        assert (code, "leaf.type" in codes) == (1, True)
