"""`mbd verify`: files in, one report each, one exit code."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from mbd.canonical.text import printable
from mbd.certificate.escrow import MAX_ESCROW_BYTES
from mbd.certificate.receipt import MAX_RECEIPT_BYTES
from mbd.cli.output import emit, json_option, note, progress
from mbd.cli.trust_source import TrustSource, find_trust
from mbd.cli.verify_run import STDIN, Judged, Remembered, Run
from mbd.errors import UsageError
from mbd.ledger.note import MAX_NOTE_BYTES
from mbd.verify import LEVELS, TrustPolicy, worst
from mbd.verify.case import Case
from mbd.verify.codes import CODES
from mbd.verify.last_visit import default_path
from mbd.verify.reading import read_regular
from mbd.verify.summary import summary, summary_of_many

_HELP = """Check deletion certificates, offline.

FILE is a bundle, a pattern such as 'certs/*.json', or - for standard input. Trust comes from
--trust, MBD_TRUST, ./trust.toml, or the workspace's trust.toml, in this order; the file used is
named on standard error. Never believe one that came with the certificate.

\b
Levels; each includes the ones above it
  SIGNED      whole, within its own rules, arithmetic recomputed, signed by a key you trust
  LOGGED      entered in the log you trust (this is required unless --require says otherwise)
  CONSISTENT  that log only grew since your last visit (--consistency, where it has another size)
  WITNESSED   enough of the witnesses in your trust file saw the same log
and beside them, each where its input is given
  ARTIFACTS   the model's files are the certificate's (--model: the release that it is about,
              from a copy kept then unless it is the latest)
  SUBJECT     the receipt opens the certificate (--receipt)
  REPRODUCED  the retained data gives the model again (--reproduce)

What is given is required: a receipt that opens nothing leaves nothing valid. Of several files, a
receipt or an escrow is held against the one that it names, and a model against those about it.
What is not of its kind, such as a receipt that is none, says nothing against a certificate: 3.

After a success the checkpoint is remembered, outside any workspace (--memory, --no-memory).

\b
Exit codes
   0  valid at the checkpoint shown (whether superseded later is not checked)
   1  invalid or malformed
   2  wrong usage: no such file (the others are judged first), a bad trust file
   3  undecidable: no trust file, unknown key, version or theorem, required level not evaluable
   9  valid, but the key was distrusted later
  70  internal error, or the result could not be written: no verdict
Several files: the worst, in the order 70, 1, 3, 9, 0. They get a line each, and a full report
only where not valid (`mbd -v verify` for all). --codes lists what a check can say.
"""

_FILE = click.Path(path_type=Path)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command(help=_HELP, epilog="Example: mbd verify cert.json --trust trust.toml")
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--trust", type=_FILE, help="Keys and limits you accept.")
@click.option(
    "--require",
    type=click.Choice(LEVELS, case_sensitive=False),
    help="Level to reach; default LOGGED.",
)
@click.option(
    "--model",
    "model_dir",
    type=_FOLDER,
    help="Folder with the released model: hold its files, constants and noise against the claim.",
)
@click.option(
    "--receipt", type=_FILE, help="The subject's receipt: open the certificate's commitments."
)
@click.option(
    "--reproduce",
    "retained",
    type=_FOLDER,
    metavar="DIR",
    help="Workspace with the retained data: rebuild the state and the heads, and compare.",
)
@click.option(
    "--escrow",
    type=_FILE,
    help="With --reproduce: what opens the commitments, where there is no receipt.",
)
@click.option(
    "--consistency",
    "growth",
    type=_FILE,
    multiple=True,
    help="Output of `mbd ledger consistency`: the log only grew; several are chained.",
)
@click.option("--memory", type=_FILE, help="Where the last checkpoint is remembered.")
@click.option("--no-memory", is_flag=True, help="Neither read nor write what is remembered.")
@click.option("--codes", is_flag=True, help="List every code that a check can give, and stop.")
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    files: tuple[str, ...],
    trust: Path | None,
    require: str | None,
    model_dir: Path | None,
    receipt: Path | None,
    retained: Path | None,
    escrow: Path | None,
    growth: tuple[Path, ...],
    memory: Path | None,
    no_memory: bool,
    codes: bool,
    as_json: bool,
) -> None:
    if codes:
        _list_codes(as_json)
        return
    if not files:
        raise UsageError("name at least one FILE", field="FILE", hint="see `mbd verify --help`")
    if no_memory and memory is not None:
        raise UsageError("--memory and --no-memory contradict each other", field="--memory")
    if memory is not None and memory.is_dir():
        raise UsageError(f"{memory}: a folder; name a file in it", field="--memory")
    level = next((name for name in LEVELS if require and name == require.upper()), None)
    paths, absent = _expand(files)
    source = find_trust(ctx, trust)
    policy = source.load()
    opening = read_regular(receipt, MAX_RECEIPT_BYTES) if receipt else None
    run = Run(
        policy,
        {
            "model_dir": model_dir,
            "receipt": opening,
            "reproducer": _reproducer(retained, opening, escrow),
            "growth": tuple(read_regular(path, MAX_NOTE_BYTES) for path in growth),
            "require": level,
        },
        Remembered.open(None if no_memory else memory or _default_memory(policy)),
    )
    found = run.judge(paths)
    unread = [*absent, *run.unread]
    if not found:
        raise UsageError("; ".join(unread), field="FILE", code="verify.no_file")
    source.tell()
    run.memory.save()
    verbose = bool(ctx.obj and ctx.obj.get("verbose"))
    exit_code = worst([one.exit_code for one in found])
    payload = _payload(found, exit_code, source, unread) if as_json else {}
    emit(
        "verify", payload, as_json, "" if as_json else _text(found, verbose, _added(source, unread))
    )
    for one in unread:
        click.echo(f"mbd: FILE: {printable(one)}", err=True)
    ctx.exit(UsageError.exit_code if unread else exit_code)


def _added(source: TrustSource, unread: Sequence[str]) -> str:
    """What the last line says besides: whom nobody chose to believe, and what is missing."""
    words = f"; {len(unread)} not read, see standard error" if unread else ""
    if source.path is not None and not source.named:
        here = "" if source.path.is_absolute() else "./"
        words += f"; by {here}{printable(str(source.path))}, which nobody named"
    return words


def _default_memory(policy: TrustPolicy | None) -> Path | None:
    """Where this user's memory of the trusted log is; none without a log or a home."""
    if policy is None or policy.log is None:
        return None
    try:
        return default_path(policy.log)
    except RuntimeError as error:  # Path.home() of a user that the system does not know
        note(f"nothing is remembered: {error}")
        return None


def _reproducer(
    folder: Path | None, receipt: bytes | None, escrow: Path | None
) -> Callable[[Case], str] | None:
    """What rebuilds from retained data; it alone loads what learning needs."""
    if folder is None:
        if escrow is not None:
            raise UsageError("--escrow needs --reproduce DIR", field="--escrow")
        return None
    from mbd.workflows.reproduce import make_reproducer

    opening = read_regular(escrow, MAX_ESCROW_BYTES) if escrow else None
    return make_reproducer(folder, receipt=receipt, escrow=opening, progress=progress)


def _expand(patterns: tuple[str, ...]) -> tuple[list[Path], list[str]]:
    """Files and patterns to files, in order, each once; and what stands for no file."""
    paths: dict[Path, None] = {}
    absent = []
    for pattern in patterns:
        path = Path(pattern)
        known = path == STDIN or path.exists()
        found = [path] if known else [Path(p) for p in sorted(glob.glob(pattern))]
        files = [one for one in found if one == path or not one.is_dir()]
        if not files:
            absent.append(f"{pattern}: no such file")
        paths.update(dict.fromkeys(files))
    return list(paths), absent


def _text(found: Sequence[Judged], verbose: bool, added: str) -> str:
    """A full report of the one file, or of those not valid and then a line for each."""
    many = len(found) > 1
    last = "" if many else added
    blocks = [
        f"{_title(one.name)}\n{summary(one.report, last)}"
        for one in found
        if one.report is not None and (verbose or not many or one.exit_code != 0)
    ]
    if many or found[0].report is None:
        blocks.append(summary_of_many([(_title(one.name), one.report) for one in found], added))
    return "\n\n".join(blocks)


def _title(name: str) -> str:
    """The name of a file; in quotes if it could be read as part of a report."""
    return name if " " not in name else f'"{name}"'


def _payload(
    found: Sequence[Judged], exit_code: int, source: TrustSource, unread: Sequence[str]
) -> dict[str, Any]:
    """The worst report's fields on top; with several files, all of them under `files`."""
    reports = [one.to_json() for one in found]
    document = {
        **next(one for one in reports if one["exitCode"] == exit_code),
        "trust": printable(str(source.path)) if source.path else None,
        "ownTrust": source.own,
        "trustNamed": source.named,
    }
    if unread:
        document |= {"exitCode": UsageError.exit_code, "unread": [printable(one) for one in unread]}
    return document | ({"files": reports} if len(reports) > 1 else {})


def _list_codes(as_json: bool) -> None:
    payload = {
        "codes": [
            {"code": code, "outcome": one.outcome, "sentence": one.sentence}
            for code, one in CODES.items()
        ]
    }
    lines = [f"{one.outcome:<7}  {code:<26}  {one.sentence}" for code, one in CODES.items()]
    emit("verify", payload, as_json, "\n".join(lines))
