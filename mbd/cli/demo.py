"""`mbd demo`: the whole story on synthetic data, told with the real commands."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from mbd.cli.output import emit, json_option
from mbd.errors import MbdError

USERS, RECORDS, SEED, WIDTH = 60, 1200, 0, 512


@click.command(epilog="Example: mbd demo --keep ./mbd-demo")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the workspace in this new folder instead of a temporary one.",
)
@json_option
def demo(keep: Path | None, as_json: bool) -> None:
    """Generate data, train, evaluate, revoke, verify, and show two frauds being caught.

    Takes a minute or two on two cores. Every step is a command that you can type yourself.
    """
    started = time.perf_counter()
    with _folder(keep) as folder, _private_state(folder):
        story = _Story(folder / "service", quiet=as_json)
        _tell(story, folder)
    seconds = time.perf_counter() - started
    payload = {
        "ok": True,
        "proved": story.proved,
        "notProved": list(NOT_PROVED),
        "certificateId": story.facts["certificateId"],
        "kept": str(keep.resolve()) if keep else None,
        "seconds": round(seconds, 1),
    }
    emit("demo", payload, as_json, _summary(story, keep, seconds))


NOT_PROVED = (
    "that copies of the old model, backups or exports elsewhere are gone",
    "without the retained data: that the engine did the work (`mbd state check` had it)",
    "that the operator shows everybody the same ledger (nobody witnessed it here)",
    "anything about releases from before the revocation: they contain the voice",
)


@dataclass
class _Story:
    """Runs commands in one workspace, shows them, and remembers what they proved."""

    root: Path
    quiet: bool
    proved: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    def say(self, text: str) -> None:
        if not self.quiet:
            click.echo(f"\n== {text}", err=True)

    def run(self, *arguments: str, expect: int = 0, cwd: Path | None = None) -> None:
        """Run a command as a user would, output and all."""
        if not self.quiet:
            click.echo(f"$ mbd {shlex.join(arguments)}", err=True)
        sink = contextlib.redirect_stdout(io.StringIO()) if self.quiet else contextlib.nullcontext()
        with sink, contextlib.chdir(cwd or self.root):
            self._check(arguments, _invoke(list(arguments)), expect)

    def ask(self, *arguments: str, expect: int = 0, cwd: Path | None = None) -> dict[str, Any]:
        """Run a command with --json, unseen, and return its document."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.chdir(cwd or self.root):
            self._check(arguments, _invoke([*arguments, "--json"]), expect)
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    def _check(self, arguments: tuple[str, ...], code: int, expect: int) -> None:
        if code != expect:
            raise MbdError(
                f"`mbd {shlex.join(arguments)}` left with {code} instead of {expect}",
                code="demo.failed",
            )


def _tell(story: _Story, folder: Path) -> None:
    story.say("A new workspace, and people who speak, write and look into a camera")
    story.run("init", str(story.root), cwd=folder)
    story.run(
        "data", "synth", "--users", str(USERS), "--records", str(RECORDS), "--seed", str(SEED)
    )
    story.say("Train: a core on the foundation cohort, heads that can forget on everybody")
    story.run("train", "--set", f"heads.width={WIDTH}")
    story.say("How good is it when channels are missing?")
    story.run("eval", "--cohort", "revocable")
    _revoke(story, folder)
    _tampered(story, folder)


def _revoke(story: _Story, folder: Path) -> None:
    from mbd.workflows.demo import keep_model, plant_lazy_engine

    record = _record_with_audio(story, "42")
    story.say('User 42 says: "stop using my voice"')
    story.run("predict", "--record", record)
    before = keep_model(story.root, folder / "before")
    story.run("revoke", "--user", "42", "--modality", "audio")
    story.run("predict", "--record", record)
    used = story.ask("predict", "--record", record)
    _require("audio" in used["refused"] and "audio" not in used["used"], "the voice is not used")
    story.proved.append("the voice of user 42 is no longer used, whatever arrives")

    story.say("Does the paperwork hold? Anyone with the trust file can check it, offline")
    bundle = next((story.root / "certs").glob("*.json"))
    story.facts["certificateId"] = bundle.stem
    story.run("verify", f"certs/{bundle.name}", "--receipt", f"receipts/{bundle.name}")
    story.proved.append("the certificate is signed, logged, and its arithmetic holds")
    story.run("ledger", "list")
    story.run("ledger", "check")
    story.proved.append("the ledger is intact: every entry hashed again")

    story.say("Is the model what the retained data says it must be?")
    story.run("state", "check")
    story.proved.append("the state equals one built from scratch without the voice, bit for bit")

    story.say("A cheat: an engine that erased the rows, signed, and left the model as it was")
    cheat = folder / "cheat"
    plant_lazy_engine(story.root, before, cheat)
    story.run("verify", f"certs/{bundle.name}", cwd=cheat)
    story.run("state", "check", cwd=cheat, expect=1)
    story.proved.append("an engine that did nothing signs a valid paper, and is caught by the data")


def _tampered(story: _Story, folder: Path) -> None:
    story.say("Another cheat: the certificate claims a smaller epsilon than it earned")
    bundle = next((story.root / "certs").glob("*.json"))
    content = json.loads(bundle.read_bytes())
    envelope = content["envelope"]
    payload = base64.b64decode(envelope["payload"]).replace(b'"epsilon":"0.', b'"epsilon":"0.0')
    envelope["payload"] = base64.b64encode(payload).decode()
    tampered = folder / "tampered.json"
    # The bundle's one spelling: sorted keys, no spaces.
    tampered.write_text(
        json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    )
    story.run("verify", str(tampered), expect=1)
    story.proved.append("a certificate with a smaller epsilon is refused, and the reason named")


def _record_with_audio(story: _Story, user: str) -> str:
    shown = story.ask("data", "show", "--user", user)
    for record in shown["records"]:
        if {"audio", "text"} <= set(record["available"]):
            return str(record["record"])
    raise MbdError(f"user {user} has no record with text and audio", code="demo.failed")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise MbdError(f"the demonstration failed: {what} does not hold", code="demo.failed")


def _summary(story: _Story, keep: Path | None, seconds: float) -> str:
    lines = ["", f"Shown in {seconds:.0f} s:"]
    lines += [f"  + {line}" for line in story.proved]
    lines += ["Not shown, and not promised:"]
    lines += [f"  - {line}" for line in NOT_PROVED]
    if keep:
        lines.append(f"The workspace is kept in {keep / 'service'}.")
    return "\n".join(lines)


def _invoke(arguments: list[str]) -> int:
    from mbd.cli.main import invoke

    return invoke(arguments)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="mbd-demo-") as name:
            yield Path(name).resolve()
        return
    if keep.exists() and any(keep.iterdir()):
        raise MbdError(f"{keep} is not empty", code="demo.exists", field="--keep")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()


@contextmanager
def _private_state(folder: Path) -> Iterator[None]:
    """The demonstration's log is remembered inside its folder, not in the user's home."""
    names = ("XDG_STATE_HOME", "MBD_WORKSPACE", "MBD_TRUST", "MBD_DATABASE_URL")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ["XDG_STATE_HOME"] = str(folder / "memory")
    try:
        yield
    finally:
        os.environ.pop("XDG_STATE_HOME")
        os.environ.update({name: value for name, value in before.items() if value is not None})
