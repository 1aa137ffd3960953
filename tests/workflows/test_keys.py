"""Keys change, and every certificate stays what its place in the log makes it."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mbd.signing.keys import SigningKey, generate_key, load_key
from mbd.verify.trust import load_trust
from tests.conftest import SERVICE, STATE
from tests.terminal import typed
from tests.workflows.children import KILLED, child_mbd, die_after, die_before, full_from, table_of
from tests.workflows.conftest import Spread
from tests.workspaces import Ran, TrainedWorkspace, must_run, run_mbd

CHANGE = "mbd.workflows.key_change"
PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A new workspace, without data."""
    must_run(tmp_path, "init", str(tmp_path / SERVICE))
    return tmp_path / SERVICE


def revoke(root: Path, user: str) -> Ran:
    return run_mbd(root, "revoke", "--user", user, "--modality", "audio", "--json")


def bundle_of(root: Path, user: str) -> str:
    """Somebody revokes; where the certificate is."""
    done = revoke(root, user)
    assert done.code == 0, done.out + done.err
    return str(done.json["bundle"])


def verdict(root: Path, bundle: str, trust: Path | None = None) -> tuple[int, str]:
    """Exit code, and the code of the key's check (number 16)."""
    ran = run_mbd(root, "verify", bundle, "--trust", str(trust or root / "trust.toml"), "--json")
    return ran.code, ran.json["checks"][15]["code"]


def entries(root: Path) -> list[dict[str, Any]]:
    return list(must_run(root, "ledger", "list", "--json").json["entries"])


def keys(root: Path) -> dict[str, str]:
    """Key id of the issuer's keys, by state; the last one of each."""
    listed = must_run(root, "key", "list", "--json").json["keys"]
    return {one["state"]: one["keyId"] for one in listed if one["role"] == "issuer"}


def error_code(ran: Ran) -> tuple[int, str]:
    return ran.code, ran.json["error"]["code"]


def codes(root: Path) -> dict[str, str]:
    """What the doctor finds about keys, and how bad it is."""
    found = run_mbd(root, "doctor", "--json").json["findings"]
    return {one["code"]: one["severity"] for one in found if one["code"].startswith("key.")}


def encrypt_keys(root: Path, *names: str) -> None:
    for name in names or ("issuer.pem", "log.pem"):
        path = root / "keys" / name
        key = load_key(path)
        assert isinstance(key, SigningKey)
        path.unlink()
        key.save(path, PASSPHRASE.encode())


def test_certificates_of_a_retired_key_stay_valid_and_it_signs_no_more(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    root, (first, second, third, *_) = trained_workspace.root, trained_workspace.revocable
    before = bundle_of(root, first)
    old_key, old_trust = (root / "keys" / "issuer.pem").read_bytes(), tmp_path / "old.toml"
    shutil.copy(root / "trust.toml", old_trust)

    must_run(root, "key", "rotate")
    after = bundle_of(root, second)

    assert verdict(root, before) == verdict(root, after) == (0, "ok")
    assert verdict(root, before, old_trust) == (0, "ok")
    assert verdict(root, after, old_trust)[0] == 3
    assert codes(root) == {}

    (root / "keys" / "issuer.pem").write_bytes(old_key)
    size = len(entries(root))
    assert error_code(revoke(root, third)) == (1, "key.retired")
    assert len(entries(root)) == size
    assert codes(root) == {"key.retired": "error"}


def test_a_certificate_by_a_retired_key_that_was_logged_later_is_invalid(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stole the old key and the log's too: the trust file refuses what they make."""
    root, user = trained_workspace.root, trained_workspace.revocable[0]
    stolen = (root / "keys" / "issuer.pem").read_bytes()
    trust = (root / "trust.toml").read_text()
    must_run(root, "key", "rotate")
    new_trust = (root / "trust.toml").read_text()
    (root / "keys" / "issuer.pem").write_bytes(stolen)
    (root / "trust.toml").write_text(trust)
    forged = bundle_of(root, user)
    (root / "trust.toml").write_text(new_trust)

    assert verdict(root, forged) == (1, "key.retired")


@pytest.mark.parametrize("again", ["key rotate", "resume", "data synth --users 12 --records 60"])
@pytest.mark.parametrize(
    ("death", "decided"),
    [
        (partial(die_before, "mbd.workflows.keys", "begin_change"), False),
        (partial(die_before, CHANGE, "_announce"), True),
        (partial(die_after, CHANGE, "_announce"), True),
        (partial(die_after, "mbd.ledger.log.Log", "publish"), True),
        (partial(die_after, CHANGE, "follow_ledger"), True),
        (partial(die_after, "os", "link"), True),
        (partial(die_after, CHANGE, "_put_in_place"), True),
    ],
    ids=["new key", "decided", "logged", "published", "believed", "kept", "in place"],
)
def test_a_rotation_killed_at_any_instant_happens_once_or_not_at_all(
    fresh: Path, death: partial[None], decided: bool, again: str
) -> None:
    old = keys(fresh)["current"]
    assert child_mbd(fresh, "key", "rotate", prelude=death).code == KILLED
    assert (fresh / "keys" / "issuer.pem").is_file()
    assert codes(fresh) == ({"key.change": "warning"} if decided else {})

    must_run(fresh, *again.split())

    rotated = decided or again == "key rotate"
    kinds = [one["type"] for one in entries(fresh) if one["type"].startswith("key-")]
    assert kinds == ["key-add", "key-add", *(["key-add", "key-retire"] if rotated else [])]
    now = keys(fresh)
    assert (now.get("retired") == old) == rotated
    assert load_key(fresh / "keys" / "issuer.pem").public.key_id == now["current"]
    trusted = {one.key.key_id: one for one in load_trust(fresh / "trust.toml").issuers}
    assert trusted.keys() == set(now.values())
    assert trusted[now["current"]].retired_from is None
    assert codes(fresh) == {}


@pytest.mark.slow
def test_a_disk_that_is_full_leaves_a_key_that_signs(fresh: Path) -> None:
    for call in range(1, 40, 3):
        child_mbd(fresh, "key", "rotate", prelude=partial(full_from, call))
        must_run(fresh, "resume")
        assert codes(fresh) == {}


def test_a_distrusted_key_divides_its_certificates_at_the_index(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, (first, second, third, *_) = trained_workspace.root, trained_workspace.revocable
    early, late = bundle_of(root, first), bundle_of(root, second)
    index = next(one["index"] for one in reversed(entries(root)) if one["type"] == "certificate")
    old = keys(root)["current"]
    distrust = ("key", "distrust", old[:16], "--from", str(index), "--yes", "--json")
    assert error_code(run_mbd(root, *distrust)) == (6, "key.current")

    must_run(root, "key", "rotate")
    done = must_run(root, *distrust).json

    assert (done["invalid"], done["notCurrent"]) == (1, 1)
    assert verdict(root, early) == (9, "ok")
    assert verdict(root, late) == (1, "key.distrusted")
    assert verdict(root, bundle_of(root, third)) == (0, "ok")
    size = len(entries(root))
    must_run(root, *distrust)
    assert len(entries(root)) == size


def test_a_distrust_says_first_whom_it_hits_and_the_doctor_names_them_after(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, (first, second, third, *_) = trained_workspace.root, trained_workspace.revocable
    must_run(root, "key", "add")  # announced early: it signed nothing of what follows
    standby = keys(root)["standby"]
    early, late = Path(bundle_of(root, first)).stem, Path(bundle_of(root, second)).stem
    index = next(one["index"] for one in reversed(entries(root)) if one["type"] == "certificate")
    old = keys(root)["current"]
    must_run(root, "key", "rotate", "--to", standby)
    newest = bundle_of(root, third)
    distrust = ("key", "distrust", old, "--from", str(index))
    before = entries(root)

    planned = must_run(root, *distrust, "--dry-run", "--json").json
    assert (planned["invalidCertificates"], planned["notCurrentCertificates"]) == ([late], [early])
    assert planned["dryRun"]
    nobody = run_mbd(root, *distrust, "--json")
    assert error_code(nobody) == (2, "usage")
    assert nobody.json["error"]["field"] == "--yes"
    code, shown = typed(root, distrust, [("for good?", "n\n")])
    assert (code, late in shown, "1 certificate would be invalid" in shown) == (1, True, True)
    assert entries(root) == before
    assert codes(root) == {}

    done = must_run(root, *distrust, "--yes", "--json").json
    assert {**done, "dryRun": True, "state": "retired"} | {"distrustedFrom": 0} == (
        planned | {"distrustedFrom": 0}
    )
    (found,) = must_run(root, "doctor", "--json").json["findings"][:1]
    assert (found["code"], found["severity"]) == ("certificate.distrusted", "warning")
    assert late in found["what"]
    assert early not in found["what"]
    assert verdict(root, newest) == (0, "ok")
    must_run(root, "key", "rotate")
    plan = must_run(root, "key", "distrust", standby, "--from", "0", "--dry-run", "--json").json
    assert plan["invalidCertificates"] == [Path(newest).stem], "not those of the key before it"


def test_what_cannot_be_distrusted_is_refused_and_nothing_is_logged(fresh: Path) -> None:
    log = next(
        one["keyId"]
        for one in must_run(fresh, "key", "list", "--json").json["keys"]
        if one["role"] == "log"
    )
    old = keys(fresh)["current"]
    must_run(fresh, "key", "rotate")
    size = len(entries(fresh))

    for key_id, index, expected in [
        (log, "0", (5, "key.log")),
        ("f" * 64, "0", (4, "key.not_found")),
        (old, str(size + 1), (2, "usage")),
    ]:
        ran = run_mbd(fresh, "key", "distrust", key_id, "--from", index, "--yes", "--json")
        assert error_code(ran) == expected
    assert error_code(run_mbd(fresh, "key", "rotate", "--role", "log", "--json")) == (5, "key.log")
    assert len(entries(fresh)) == size


def test_a_key_is_announced_first_and_put_in_force_later(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, (first, second, *_) = trained_workspace.root, trained_workspace.revocable
    made = must_run(root, "key", "add", "--algorithm", "ecdsa-p256", "--json").json
    assert made["state"] == "standby"
    assert keys(root)["current"] != made["keyId"]
    before = bundle_of(root, first)

    must_run(root, "key", "rotate", "--to", made["keyId"][:12])

    assert keys(root)["current"] == made["keyId"]
    assert verdict(root, before) == verdict(root, bundle_of(root, second)) == (0, "ok")
    again = run_mbd(root, "key", "rotate", "--to", made["keyId"], "--json")
    assert error_code(again) == (6, "key.current")


def test_a_lost_issuer_key_is_replaced_and_what_it_had_signed_is_logged_first(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, (user, *_) = trained_workspace.root, trained_workspace.revocable
    ask = ["revoke", "--user", user, "--modality", "audio"]
    death = partial(die_before, "mbd.workflows.papers.PAPERS", "signed")
    assert child_mbd(root, *ask, prelude=death).code == KILLED
    (root / "keys" / "issuer.pem").unlink()

    must_run(root, "key", "rotate")
    must_run(root, "resume")

    (bundle,) = (root / "certs").iterdir()
    assert verdict(root, str(bundle)) == (0, "ok")
    kinds = [one["type"] for one in entries(root)]
    assert kinds.index("certificate") < kinds.index("key-retire")
    assert codes(root) == {}


def test_an_open_request_is_signed_with_the_key_that_is_current(
    trained_workspace: TrainedWorkspace,
) -> None:
    root, (user, *_) = trained_workspace.root, trained_workspace.revocable
    ask = ["revoke", "--user", user, "--modality", "audio"]
    death = partial(die_before, "mbd.workflows.papers.PAPERS", "scanned")
    assert child_mbd(root, *ask, prelude=death).code == KILLED
    (root / "keys" / "issuer.pem").unlink()  # so that it cannot be finished with the old one

    must_run(root, "key", "rotate")
    must_run(root, "resume")

    (bundle,) = (root / "certs").iterdir()
    signed = must_run(root, "verify", str(bundle), "--json").json["checks"][9]["reason"]
    assert keys(root)["current"][:16] in signed


def test_of_a_batch_what_was_signed_is_logged_before_and_the_rest_is_signed_anew(
    spread: Spread, tmp_path: Path
) -> None:
    root, users = spread.workspace.root, (spread.users[0], spread.users[2])  # of two buckets
    rows = tmp_path / "requests.csv"
    rows.write_text("user,modality\n" + "".join(f"{user},audio\n" for user in users))
    death = partial(die_before, "mbd.workflows.papers.PAPERS", "signed")
    assert child_mbd(root, "revoke", "--batch", str(rows), prelude=death).code == KILLED
    (root / "keys" / "issuer.pem").unlink()

    must_run(root, "key", "rotate")
    must_run(root, "resume")

    kinds = [one["type"] for one in entries(root)]
    assert kinds.count("certificate") == 2
    first, last = kinds.index("certificate"), len(kinds) - kinds[::-1].index("certificate") - 1
    assert first < kinds.index("key-retire") < last
    bundles = sorted((root / "certs").iterdir())
    assert [verdict(root, str(one)) for one in bundles] == [(0, "ok")] * 2


def test_encrypted_keys_stop_writers_at_the_door_and_no_reader(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, (user, *_) = trained_workspace.root, trained_workspace.revocable
    encrypt_keys(root)
    size = len(entries(root))
    assert codes(root) == {"key.encrypted": "note"}
    must_run(root, "ledger", "check")
    must_run(root, "key", "list")
    must_run(root, "eval")

    assert error_code(revoke(root, user)) == (5, "key.locked")
    monkeypatch.setenv("MBD_KEY_PASSPHRASE", "wrong")
    assert error_code(revoke(root, user)) == (5, "key.passphrase")
    assert error_code(run_mbd(root, "key", "rotate", "--json")) == (5, "key.passphrase")
    assert len(entries(root)) == size
    assert run_mbd(root, "doctor", "--json").json["findings"][0]["code"] == "key.encrypted"

    monkeypatch.setenv("MBD_KEY_PASSPHRASE", PASSPHRASE)
    assert verdict(root, bundle_of(root, user)) == (0, "ok")
    must_run(root, "key", "rotate")
    assert b"ENCRYPTED" in (root / "keys" / "issuer.pem").read_bytes()


@pytest.mark.parametrize("name", ["issuer.pem", "log.pem"])
def test_a_reader_without_the_passphrase_neither_finishes_nor_cancels_a_request(
    trained_workspace: TrainedWorkspace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root, (user, *_) = trained_workspace.root, trained_workspace.revocable
    ask = ["revoke", "--user", user, "--modality", "audio"]
    death = partial(die_after, table_of("suppressed"), "received")
    assert child_mbd(root, *ask, prelude=death).code == KILLED
    encrypt_keys(root, name)
    attempts = len(entries(root))

    for _ in range(3):
        must_run(root, "eval")
    assert "request.interrupted" in {
        one["code"] for one in must_run(root, "doctor", "--json").json["findings"]
    }
    assert len(entries(root)) == attempts

    monkeypatch.setenv("MBD_KEY_PASSPHRASE", PASSPHRASE)
    assert len(must_run(root, "resume", "--json").json["finished"]) == 1


def test_a_workspace_may_begin_with_encrypted_keys_and_a_p256_issuer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--encrypt-keys", "--issuer-algorithm", "ecdsa-p256", "--json"]
    missing = run_mbd(tmp_path, "init", str(tmp_path / SERVICE), *options)
    assert error_code(missing) == (5, "key.locked")
    assert not (tmp_path / SERVICE).exists()

    monkeypatch.setenv("MBD_KEY_PASSPHRASE", PASSPHRASE)
    must_run(tmp_path, "init", str(tmp_path / SERVICE), *options)
    for name in ("issuer.pem", "log.pem"):
        path = tmp_path / SERVICE / "keys" / name
        assert b"ENCRYPTED" in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
    listed = must_run(tmp_path / SERVICE, "key", "list", "--json").json["keys"]
    assert [one["algorithm"] for one in listed] == ["ecdsa-p256", "ed25519"]


def test_a_wrong_passphrase_never_passes_for_a_lost_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key file of other tools has no public half in the clear: it is opened to be known."""
    monkeypatch.setenv("MBD_KEY_PASSPHRASE", PASSPHRASE)
    must_run(tmp_path, "init", str(tmp_path / SERVICE))
    path = tmp_path / SERVICE / "keys" / "issuer.pem"
    plain = load_key(path)
    assert isinstance(plain, SigningKey)
    path.write_bytes(plain.pem(b"another").replace(plain.public.pem.encode(), b""))

    ran = run_mbd(tmp_path / SERVICE, "key", "rotate", "--json")

    assert error_code(ran) == (5, "key.passphrase")
    assert len(entries(tmp_path / SERVICE)) == 2


def test_a_lost_key_is_replaced_by_an_encrypted_one_where_the_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MBD_KEY_PASSPHRASE", PASSPHRASE)
    must_run(tmp_path, "init", str(tmp_path / SERVICE), "--encrypt-keys")
    path = tmp_path / SERVICE / "keys" / "issuer.pem"
    path.unlink()

    must_run(tmp_path / SERVICE, "key", "rotate")

    assert b"ENCRYPTED" in path.read_bytes()


def test_only_public_halves_are_exported(fresh: Path) -> None:
    must_run(fresh, "key", "rotate")
    outputs = [
        must_run(fresh, "key", *line.split()).out
        for line in ("export", "export --pem", "export --vkey", "list --json", "list")
    ]
    assert [text.count("PUBLIC KEY-----") for text in outputs] == [0, 2, 0, 0, 0]
    for path in (fresh / "keys").glob("*.pem"):
        body = "".join(path.read_text().splitlines()[1:-1])
        assert not any("PRIVATE" in text or body in text for text in outputs)
    assert outputs[2].strip() == str(load_trust(fresh / "trust.toml").log.key)


def test_a_key_that_the_ledger_never_announced_is_found_and_can_be_put_in_force(
    fresh: Path,
) -> None:
    path = fresh / "keys" / "issuer.pem"
    path.unlink()
    stranger = generate_key()
    stranger.save(path)
    assert codes(fresh) == {"key.unknown": "error", "key.unlogged": "error"}

    must_run(fresh, "key", "rotate")

    assert keys(fresh)["current"] == stranger.key_id
    assert codes(fresh) == {}


def test_a_workspace_that_is_restored_knows_the_keys_of_its_newest_ledger(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    root, (user, *_) = trained_workspace.root, trained_workspace.revocable
    must_run(root, "backup", str(tmp_path / "copy"), "--with-keys")
    must_run(root, "key", "rotate")
    now = keys(root)
    new = tmp_path / "new"
    saved = ["--ledger", str(root / "ledger.db"), "--keys", str(root / "keys")]

    must_run(tmp_path, "restore", str(tmp_path / "copy"), "--into", str(new), *saved)

    assert keys(new) == now
    assert {one.key.key_id for one in load_trust(new / "trust.toml").issuers} == set(now.values())
    assert codes(new) == {}
    assert verdict(new, bundle_of(new, user)) == (0, "ok")
    assert (tmp_path / STATE).is_dir()
