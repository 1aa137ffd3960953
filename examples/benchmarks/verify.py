"""What verifying costs beside the signatures and hashes that nobody can leave out.

    python examples/benchmarks/verify.py

Bare operations, `verify_bundle` on the same bytes, and `mbd verify`, in one process. See
README.md here for what each number is.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ParamSpec

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from verify_world import bundles, inner_nodes, trust

from mbd.canonical.json import dumps
from mbd.canonical.tree import leaf_hash
from mbd.certificate.bundle import parse_bundle
from mbd.cli.main import main as mbd
from mbd.cli.output import table
from mbd.ledger.note import parse_checkpoint, parse_note
from mbd.ledger.tlog_proof import parse_tlog_proof
from mbd.verify import TrustPolicy, render_trust, verify_bundle

P = ParamSpec("P")

BLOCK = 100
"""Bare operations and verifications take turns, so many bundles each."""
TURNS = 7
"""Of each bundle the fastest of so many counts: other processes only ever add to it."""
MOST = 2.0
"""Want: verifying takes at most so many times the bare operations."""
PER_SECOND = 1000.0
"""Want: at least so many bundles each second, in one process."""


@dataclass(frozen=True)
class Bare:
    """One bundle with everything parsed: what is left are signatures and hashes."""

    signed: bytes
    signature: bytes
    note: bytes
    note_signature: bytes
    leaf: bytes
    index: int
    size: int
    path: list[bytes]
    root: bytes
    manifest: bytes
    is_known: bool
    """Whether an earlier bundle has the same checkpoint."""

    def run(self, issuer: Ed25519PublicKey, log: Ed25519PublicKey) -> None:
        """Two signatures; hashes of what was signed, signature, model, leaf and path."""
        issuer.verify(self.signature, self.signed)
        if not self.is_known:
            log.verify(self.note_signature, self.note)
        hashlib.sha256(self.signed).hexdigest()
        hashlib.sha256(self.signature).hexdigest()
        hashlib.sha256(self.manifest).hexdigest()
        leaf = leaf_hash(self.leaf)
        if inner_nodes(leaf, self.index, self.size, self.path) != self.root:
            raise SystemExit("a proof that does not hold")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds of one run over all bundles."""

    bundles: int
    one_checkpoint: bool
    megabytes: float
    bare: float
    verify: float
    """`verify_bundle`; of both, the fastest turn of each bundle."""
    command: float
    """`mbd verify 'dir/*.json'`, wall: files read, judged and printed."""
    command_cpu: float

    @property
    def ratio(self) -> float:
        """Verifying over bare operations."""
        return self.verify / self.bare


@click.command(epilog="Example: python examples/benchmarks/verify.py --json")
@click.option("--bundles", "count", type=click.IntRange(4), default=3000, show_default=True)
@click.option("--one-checkpoint", is_flag=True, help="All proofs lead to the same checkpoint.")
@click.option("--quick", is_flag=True, help="200 bundles: shows that it works.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(count: int, one_checkpoint: bool, quick: bool, as_json: bool) -> None:
    """Time the verification of many distinct certificates."""
    count = 200 if quick else count
    click.echo(f"making {count} certificates", err=True)
    made, policy = bundles(count, one_checkpoint=one_checkpoint), trust()
    bare, verified = take_turns(made, policy)
    click.echo("mbd verify", err=True)
    wall, cpu = command(made, policy)
    found = Measured(
        bundles=count,
        one_checkpoint=one_checkpoint,
        megabytes=sum(map(len, made)) / 1e6,
        bare=bare,
        verify=verified,
        command=wall,
        command_cpu=cpu,
    )
    if as_json:
        click.echo(json.dumps({**asdict(found), "ratio": found.ratio}))
    else:
        click.echo(report(found))


def take_turns(made: list[bytes], policy: TrustPolicy) -> tuple[float, float]:
    """Seconds of the bare operations and of `verify_bundle` over all bundles."""
    if policy.log is None:
        raise SystemExit("no log")
    issuer = Ed25519PublicKey.from_public_bytes(policy.issuers[0].key.raw)
    log = Ed25519PublicKey.from_public_bytes(policy.log.key.public_key)
    known: set[str] = set()
    parsed = [strip(data, known) for data in made]
    bare, verified = [math.inf] * len(made), [math.inf] * len(made)
    for start in range(0, len(made), BLOCK):
        block = range(start, min(start + BLOCK, len(made)))
        for _ in range(TURNS):
            for one in block:
                bare[one] = min(bare[one], _seconds(parsed[one].run, issuer, log))
            for one in block:
                verified[one] = min(verified[one], _seconds(_valid, made[one], policy))
    return sum(bare), sum(verified)


def _valid(data: bytes, policy: TrustPolicy) -> None:
    code = verify_bundle(data, policy).exit_code
    if code:
        raise SystemExit(f"not valid: {code}")


def _seconds(call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> float:
    begin = time.perf_counter()
    call(*args, **kwargs)
    return time.perf_counter() - begin


def strip(data: bytes, known: set[str]) -> Bare:
    """Parse everything, so that it is not timed; `known` are the checkpoints before."""
    bundle = parse_bundle(data)
    model = bundle.statement().predicate.deletion.model_after
    proof = parse_tlog_proof(bundle.tlog_proof)
    is_known = proof.checkpoint in known
    known.add(proof.checkpoint)
    note = parse_note(proof.checkpoint)
    checkpoint = parse_checkpoint(note.text)
    return Bare(
        signed=bundle.envelope.signed_bytes(),
        signature=bundle.envelope.signatures[0].value,
        note=note.text.encode(),
        note_signature=note.signatures[0].signature,
        leaf=bundle.entry,
        index=proof.index,
        size=checkpoint.size,
        path=list(proof.hashes),
        root=checkpoint.root,
        is_known=is_known,
        manifest=dumps([file.model_dump() for file in model.files]),
    )


def command(made: list[bytes], policy: TrustPolicy) -> tuple[float, float]:
    """Seconds of `mbd verify` on all of them, wall and CPU; its output goes into a string."""
    folder = Path(tempfile.mkdtemp(prefix="mbd-verify-"))
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    try:
        for number, data in enumerate(made):
            (folder / f"{number:06}.json").write_bytes(data)
        (folder / "trust.toml").write_text(render_trust(policy))
        words = ["verify", str(folder / "*.json"), "--trust", str(folder / "trust.toml")]
        return _command_seconds(lambda: mbd.main(words, prog_name="mbd", standalone_mode=False))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _command_seconds(call: Callable[[], object]) -> tuple[float, float]:
    begin, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = call()
    seconds = time.perf_counter() - begin, time.process_time() - cpu
    if code != 0:
        raise SystemExit(f"mbd verify: exit code {code}")
    return seconds


def report(found: Measured) -> str:
    """The table, and what was wanted beside what was found."""
    count = found.bundles

    def row(name: str, seconds: float) -> tuple[str, str, str]:
        return name, f"{1e6 * seconds / count:.0f}", f"{count / seconds:.0f}"

    rows = [
        row("bare operations", found.bare),
        row("verify_bundle", found.verify),
        row("mbd verify, CPU", found.command_cpu),
        row("mbd verify, wall clock", found.command),
    ]
    rate = count / found.command
    judged = [
        f"verify_bundle : bare operations  {found.ratio:.2f}   want at most {MOST:g}: "
        f"{'met' if found.ratio <= MOST else 'MISSED'}",
        f"mbd verify, bundles a second  {rate:.0f}   want at least {PER_SECOND:g}: "
        f"{'met' if rate >= PER_SECOND else 'MISSED'}",
    ]
    checkpoints = "one checkpoint" if found.one_checkpoint else "each with a checkpoint of its own"
    title = (
        f"{platform.machine()}, {os.cpu_count()} cores; {count} bundles, "
        f"{found.megabytes:.1f} MB, {checkpoints}"
    )
    return "\n".join([title, table(("", "us each", "per second"), rows), "", *judged])


if __name__ == "__main__":
    main()
