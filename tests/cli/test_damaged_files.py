"""A torn or altered file is named, what does not need it goes on, and putting it back is enough."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Service, contents
from tests.cli.test_bad_input import refused
from tests.workspaces import must_run, run_mbd


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


READ_STORE = ("data info", "data subjects", "eval", "predict --record r000001", "REVOKE", "train")
READ_MODEL = ("eval", "state check", "REVOKE")

CASES = [
    # file, what happens to it, commands that must say so
    ("data/store/bucket-*.parquet", truncated, READ_STORE),
    ("data/store/bucket-*.parquet", flipped, READ_STORE),
    ("data/store/manifest.json", truncated, READ_STORE),
    ("data/prepared/*/bucket-*.parquet", truncated, ("state check", "REVOKE")),
    ("data/prepared/*/manifest.json", flipped, ("state check", "REVOKE")),
    ("models/*/policy.json", truncated, (*READ_MODEL, "data show --user USER")),
    ("models/*/policy.json", flipped, READ_MODEL),
    ("models/*/heads/text.safetensors", truncated, READ_MODEL),
    ("models/*/heads/text.safetensors", flipped, READ_MODEL),
    ("state/*/audio.safetensors", truncated, ("state check", "REVOKE")),
    ("state/*/audio.safetensors", flipped, ("state check", "REVOKE")),
    ("ledger.db", truncated, ("ledger list", "ledger check", "data info", "REVOKE", "train")),
    ("secrets.db", truncated, ("REVOKE",)),
    ("keys/workspace.key", truncated, ("data info", "REVOKE", "train")),
    ("keys/issuer.pem", truncated, ("REVOKE",)),
    ("keys/log.pem", truncated, ("REVOKE", "train")),
]


@pytest.mark.parametrize(("pattern", "damage", "commands"), CASES)
def test_a_damaged_file_is_named_and_nothing_else_is_harmed(
    copied: Service, pattern: str, damage: Callable[[bytes], bytes], commands: tuple[str, ...]
) -> None:
    path = sorted(copied.root.glob(pattern))[0]
    good, user = path.read_bytes(), copied.revocable[0]
    path.write_bytes(damage(good))
    before = contents(copied.root)
    for command in commands:
        line = command.replace("REVOKE", "revoke --user USER --modality audio")
        ran = run_mbd(copied.root, *line.replace("USER", user).split(), "--json")
        assert path.name in refused(ran, 1)["message"], command
    assert contents(copied.root) == before

    path.write_bytes(good)
    assert not must_run(copied.root, "resume", "--json").json["finished"]
    assert must_run(copied.root, "state", "check", "--json").json["equal"]
    must_run(copied.root, "revoke", "--user", user, "--modality", "audio")


def test_a_new_training_heals_a_damaged_model(copied: Service) -> None:
    for pattern in ("models/*/heads/text.safetensors", "state/*/audio.safetensors"):
        path = sorted(copied.root.glob(pattern))[0]
        path.write_bytes(truncated(path.read_bytes()))
    must_run(copied.root, "train", "--core", "none", "--set", "heads.width=160")
    assert must_run(copied.root, "state", "check", "--json").json["ok"]


def test_a_damaged_core_is_named_and_not_handed_on(tmp_path: Path) -> None:
    root = tmp_path / "service"
    must_run(tmp_path, "init", str(root))
    must_run(root, "data", "synth", "--users", "10", "--records", "80")
    small = ("--set", "core.epochs=1", "--set", "core.hidden=8", "--set", "heads.width=400")
    must_run(root, "train", "--core", "trained", *small)
    listed = must_run(root, "data", "subjects", "--cohort", "revocable", "--json").json["subjects"]
    path = next(root.glob("models/*/core.safetensors"))
    good = path.read_bytes()
    path.write_bytes(truncated(good))
    user = listed[0]["user"]
    for line in ("eval", f"revoke --user {user} --modality audio", "state check"):
        assert path.name in refused(run_mbd(root, *line.split(), "--json"), 1)["message"], line
    path.write_bytes(good)
    done = must_run(root, "revoke", "--user", user, "--modality", "audio", "--json").json
    folder = next(root.glob("models/*"))
    must_run(root, "verify", done["bundle"], "--model", str(folder), "--require", "ARTIFACTS")
    predicted = must_run(root, "predict", "--record", "r000001", "--without", "text", "--json").json
    assert "text" in predicted["reconstructed"]


def test_a_request_is_refused_while_no_certificate_of_it_would_verify(copied: Service) -> None:
    trust, user = copied.root / "trust.toml", copied.revocable[0]
    good = trust.read_text()
    command = ["revoke", "--user", user, "--modality", "text"]
    for text in ("nonsense", '[log]\norigin = "x"\nvkey = "y"\n'):
        trust.write_text(text)
        before = contents(copied.root)
        refused(run_mbd(copied.root, *command, "--json"), 2)
        assert contents(copied.root) == before
    trust.write_text(good)
    must_run(copied.root, *command)
