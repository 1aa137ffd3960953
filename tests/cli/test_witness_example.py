"""The witness of `examples/witness`, which shares no code with ours, and README's words on it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mbd.ledger.merkle import consistency_proof
from mbd.ledger.note import NoteSigner, VerifierKey
from mbd.verify import verify_bundle
from mbd.verify.trusted import TrustedWitness, witness_key
from tests.cli.conftest import Service
from tests.verify.histories import began, forked, grown, growth
from tests.verify.world import LATER, make_world
from tests.workspaces import must_run, run_mbd

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples/witness/witness.py"
WORLD = make_world()
LOG = grown(WORLD.log, 9)
SIZES = range(1, len(LOG.entries) + 1)


@pytest.fixture
def example(tmp_path: Path) -> ModuleType:
    """The script as a module, with a key and memory of its own, watching the log."""
    spec = importlib.util.spec_from_file_location("example_witness", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    found.MEMORY = tmp_path / "witness.json"
    found.vkey = found.run("new", "watch.example/w1")
    signer: NoteSigner = WORLD.log_signer
    found.run("watch", str(VerifierKey(signer.name, signer.public_key)))
    return found


def asked(example: ModuleType, folder: Path, request: bytes) -> str:
    (folder / "growth.txt").write_bytes(request)
    return str(example.run("cosign", str(folder / "growth.txt")))


@pytest.mark.parametrize("old", SIZES)
def test_it_sees_that_a_log_grew_from_any_size_to_any_other(example, old):
    before = began(LOG, old).checkpoint().root
    for new in range(old, len(LOG.entries) + 1):
        after = began(LOG, new)
        hashes = list(
            consistency_proof(lambda level, at, tree=after: tree.nodes[level, at], old, new)
        )

        assert example.grew(old, before, new, after.checkpoint().root, hashes)
        assert not example.grew(old, bytes(32), new, after.checkpoint().root, hashes)
        assert not example.grew(old, before, new, bytes(32), hashes)


def test_it_signs_what_grew_and_asks_for_the_next_proof_from_there(example, tmp_path):
    for old, new in ((0, 3), (3, 3), (3, 16)):
        line = asked(example, tmp_path, growth(WORLD, old, began(LOG, new)))

        assert line.startswith("\N{EM DASH} watch.example/w1 ")
        assert example.run("size", WORLD.log_signer.name) == str(new)


def refused_requests() -> Iterator[tuple[str, bytes]]:
    honest = growth(WORLD, 5, LOG)
    yield "a fork", growth(WORLD, 5, forked(LOG, len(LOG.entries)))
    yield "from another size", growth(WORLD, 4, LOG)
    yield "back", growth(WORLD, 3, began(LOG, 4))
    yield "another root", honest.replace(b"old 5\n", b"old 5\n" + b"A" * 43 + b"=\n")
    yield "without its signature", honest.partition("\n\N{EM DASH}".encode())[0] + b"\n"
    yield "altered since it was signed", honest.replace(b"\n16\n", b"\n15\n")
    hashes = re.findall(rb"\n([^\s=]{43}=)(?=\n)", honest.partition(b"\n\n")[0])
    for number, one in enumerate(hashes):
        yield f"hash {number} left out", honest.replace(one + b"\n", b"", 1)
        yield f"hash {number} altered", honest.replace(one[:4], one[:4].swapcase(), 1)


REFUSED = dict(refused_requests())


@pytest.mark.parametrize("name", REFUSED)
def test_it_signs_nothing_else_and_remembers_what_it_did(example, tmp_path, name):
    assert len(LOG.entries) == 16
    asked(example, tmp_path, growth(WORLD, 0, began(LOG, 5)))
    before = example.MEMORY.read_bytes()

    with pytest.raises(Exception):  # noqa: B017  as a process, any of them is a refusal
        asked(example, tmp_path, REFUSED[name])

    assert example.MEMORY.read_bytes() == before


def test_what_it_signs_counts_for_an_auditor_who_chose_it(example):
    request, state = growth(WORLD, 0, WORLD.log).decode(), json.loads(example.MEMORY.read_text())
    line = example.cosign(state, request, int(LATER.timestamp()))
    bundle = WORLD.bundle
    data = type(bundle)(bundle.envelope, bundle.entry, bundle.tlog_proof + line + "\n").to_bytes()
    chosen = TrustedWitness("Watch", witness_key(example.vkey))
    trust = type(WORLD.trust)(WORLD.trust.issuers, WORLD.trust.log, witnesses=(chosen,), quorum=1)

    report = verify_bundle(data, trust, now=LATER, require="WITNESSED")

    assert (report.level_reached, report.exit_code) == ("WITNESSED", 0)


def test_a_key_is_never_replaced(example):
    before = example.MEMORY.read_bytes()

    with pytest.raises(FileExistsError):
        example.run("new", "watch.example/w2")
    assert example.MEMORY.read_bytes() == before
    assert example.MEMORY.stat().st_mode & 0o077 == 0


def test_readme_shows_how_a_witness_makes_its_key_and_signs(copied: Service, tmp_path: Path):
    """Its commands as they stand, and then what an auditor makes of them."""
    (block,) = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert block.count("witness.py") == 4
    commands = block.replace("witness.py ", f"{SCRIPT} ").replace("mbd ", "python -m mbd ")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=copied.root, env={**os.environ, "PATH": path}, check=False
    )
    assert done.returncode == 0

    ask = [sys.executable, SCRIPT, "fingerprint"]
    told = subprocess.run(ask, cwd=copied.root, capture_output=True, text=True, check=True).stdout
    chosen = ["watch.vkey", "--name", "Watch", "--fingerprint", told.strip()]
    must_run(copied.root, "trust", "add", *chosen, "--trust", "trust.toml")
    verify = ["verify", f"certs/{copied.certificate}.json", "--trust", "trust.toml"]
    witnessed = [*verify, "--require", "WITNESSED"]

    assert run_mbd(copied.root, *witnessed).code == 3
    assert run_mbd(copied.root, *witnessed, "--consistency", "growth.txt").code == 0
