"""An auditor's trust file: no key enters it that nobody compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mbd.verify.trust import load_trust
from tests.cli.conftest import Service
from tests.terminal import typed
from tests.verify.histories import Witness
from tests.workspaces import must_run, run_mbd


@pytest.fixture
def offer(tmp_path: Path) -> Path:
    """The export of a new workspace, in an auditor's folder."""
    must_run(tmp_path, "init", str(tmp_path / "service"))
    return export(tmp_path)


def export(folder: Path) -> Path:
    path = folder / "auditor" / "keys.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(must_run(folder / "service", "key", "export").out)
    return path


def fingerprints(offer: Path) -> list[str]:
    """As options, in the groups that people read to each other."""
    ids = [one["keyId"] for one in json.loads(offer.read_text())["keys"]]
    groups = [" ".join(one[i : i + 4] for i in range(0, 64, 4)) for one in ids]
    return [word for one in groups for word in ("--fingerprint", one.upper())]


def test_a_key_that_nobody_confirmed_is_not_added(offer: Path) -> None:
    said = fingerprints(offer)
    for known in ([], said[:2], said[2:]):
        ran = run_mbd(offer.parent, "trust", "add", offer.name, *known, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (5, "trust.unconfirmed")
        assert not (offer.parent / "trust.toml").exists()


def test_a_misheard_fingerprint_adds_nothing(offer: Path) -> None:
    said = fingerprints(offer)
    wrong = said[1][:-1] + ("0" if said[1][-1] != "0" else "1")
    ran = run_mbd(offer.parent, "trust", "add", offer.name, *said, "--fingerprint", wrong, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (5, "trust.fingerprint")
    assert not (offer.parent / "trust.toml").exists()
    for part in ("abcd", said[1][:-5], "x" * 64):
        ran = run_mbd(offer.parent, "trust", "add", offer.name, "--fingerprint", part)
        assert ran.code == 2


def test_confirmed_keys_are_believed_and_shown(offer: Path) -> None:
    folder = offer.parent
    done = must_run(folder, "trust", "add", offer.name, *fingerprints(offer), "--json").json
    assert [one["role"] for one in done["added"]] == ["issuer", "log"]
    assert load_trust(folder / "trust.toml") == load_trust(folder.parent / "service" / "trust.toml")
    listed = must_run(folder, "trust", "list").out
    for said in fingerprints(offer)[1::2]:
        assert said.lower() in listed
    key_id = done["added"][1]["keyId"]
    assert must_run(folder, "trust", "show", key_id[:10], "--json").json["vkey"]
    unknown = run_mbd(folder, "trust", "show", "0" * 8)
    assert (unknown.code, "no key that begins with" in unknown.err) == (4, True)
    short = run_mbd(folder, "trust", "show", key_id[:4])
    assert (short.code, "too short: want 8 digits" in short.err) == (2, True)
    assert "known" in must_run(folder, "trust", "add", offer.name).out


def test_a_rotation_reaches_the_auditor_with_one_fingerprint(offer: Path) -> None:
    folder, service = offer.parent, offer.parent.parent / "service"
    must_run(folder, "trust", "add", offer.name, *fingerprints(offer))
    new = must_run(service, "key", "rotate", "--json").json["keyId"]
    export(offer.parent.parent)

    assert run_mbd(folder, "trust", "add", offer.name).code == 5
    done = must_run(folder, "trust", "add", offer.name, "--fingerprint", new, "--json").json

    assert [one["keyId"] for one in done["added"]] == [new]
    assert [one["retiredFrom"] for one in done["narrowed"]] == [3]
    assert load_trust(folder / "trust.toml") == load_trust(service / "trust.toml")


def test_a_known_key_begins_later_only_if_somebody_confirms_it(offer: Path) -> None:
    folder = offer.parent
    must_run(folder, "trust", "add", offer.name, *fingerprints(offer))
    content = json.loads(offer.read_text())
    content["keys"][0]["validFrom"] = 5
    offer.write_text(json.dumps(content))

    ran = run_mbd(folder, "trust", "add", offer.name, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (5, "trust.unconfirmed")
    key_id = content["keys"][0]["keyId"]
    done = must_run(folder, "trust", "add", offer.name, "--fingerprint", key_id, "--json").json
    assert [one["validFrom"] for one in done["narrowed"]] == [5]


def test_somebody_at_a_terminal_is_asked_key_by_key(offer: Path) -> None:
    folder = offer.parent
    add = ["trust", "add", offer.name]
    code, shown = typed(folder, add, [("same?", "y"), ("same? [y/N]: y", "n")])
    assert code == 5, shown
    assert not (folder / "trust.toml").exists()
    code, shown = typed(folder, add, [("same?", "y"), ("log key of", "y")])
    assert code == 0, shown
    assert all(said.lower() in shown for said in fingerprints(offer)[1::2])
    assert (folder / "trust.toml").exists()
    assert "from entry 0 on" in shown
    assert "which entries it is good for" in shown


def test_what_a_new_key_is_believed_for_is_said(offer: Path) -> None:
    """An offer may have lost the line that says where distrust begins."""
    content = json.loads(offer.read_text())
    content["keys"][0]["distrustedFrom"] = 7
    offer.write_text(json.dumps(content))

    ran = must_run(offer.parent, "trust", "add", offer.name, *fingerprints(offer))

    assert "distrusted from entry 7" in ran.out


def test_a_key_in_the_bundle_is_never_believed(copied: Service, tmp_path: Path) -> None:
    """Keys that come with what they sign prove nothing: a bundle has no place for them."""
    stranger = tmp_path / "stranger"
    must_run(tmp_path, "init", str(stranger))
    content = json.loads(copied.bundle.read_text())
    theirs = must_run(copied.root, "key", "export", "--json").json["keys"][0]
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps({**content, "publicKey": theirs["publicKey"]}))
    trust = ["--trust", str(stranger / "trust.toml")]

    assert run_mbd(tmp_path, "verify", str(copied.bundle), *trust).code == 3
    assert run_mbd(tmp_path, "verify", str(forged), *trust).code == 1
    own = ["--trust", str(copied.root / "trust.toml")]
    assert run_mbd(tmp_path, "verify", str(forged), *own).code == 1
    ran = run_mbd(tmp_path, "trust", "add", str(copied.bundle), "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "trust.invalid")


def test_a_passphrase_is_typed_twice_when_it_is_chosen_and_once_when_it_is_used(
    tmp_path: Path,
) -> None:
    init = ["init", "locked", "--encrypt-keys"]
    code, shown = typed(tmp_path, init, [("A new passphrase", "one"), ("Once more", "two")])
    assert (code, (tmp_path / "locked").exists()) == (5, False), shown
    code, shown = typed(tmp_path, init, [("A new passphrase", "secret"), ("Once more", "secret")])
    assert code == 0, shown
    assert "secret" not in shown.replace("secrets.db", "")
    rotate = ["-w", "locked", "key", "rotate", "--plain"]
    code, shown = typed(tmp_path, rotate, [("log.pem", "secret")])
    assert code == 0, shown
    assert b"ENCRYPTED" not in (tmp_path / "locked" / "keys" / "issuer.pem").read_bytes()


def test_a_witness_is_confirmed_like_any_other_key(offer: Path) -> None:
    folder, watcher = offer.parent, Witness("witness.example/w")
    must_run(folder, "trust", "add", offer.name, *fingerprints(offer))
    (folder / "watch.vkey").write_text(f"{watcher.vkey}\n")
    key = watcher.signer.key.public
    said = ["--name", "Example Watch", "--fingerprint", key.fingerprint]

    assert run_mbd(folder, "trust", "add", "watch.vkey", *said[:2]).code == 5
    assert not load_trust(folder / "trust.toml").witnesses
    must_run(folder, "trust", "add", "watch.vkey", *said)

    policy = load_trust(folder / "trust.toml")
    assert [(one.name, one.key) for one in policy.witnesses] == [("Example Watch", watcher.vkey)]
    assert policy.quorum == 1
    listed = must_run(folder, "trust", "list").out
    assert f"witness Example Watch\n        {key.fingerprint}\n" in listed
    assert listed.endswith("quorum  1 of 1 witnesses\n")
    shown = must_run(folder, "trust", "show", key.key_id[:16], "--json").json
    assert (shown["role"], shown["vkey"]) == ("witness", str(watcher.vkey))
