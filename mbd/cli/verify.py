"""`mbd verify`: files in, one report each, one exit code."""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mbd.canonical.text import printable
from mbd.certificate.bundle import MAX_BUNDLE_BYTES
from mbd.certificate.receipt import MAX_RECEIPT_BYTES
from mbd.cli.output import emit, json_option
from mbd.cli.trust_source import TrustSource, find_trust
from mbd.errors import UsageError
from mbd.verify import LEVELS, verify_bundle, worst
from mbd.verify.case import Case
from mbd.verify.reading import read_regular

_HELP = """Check deletion certificates, offline.

FILE is a bundle, or a pattern such as 'certs/*.json'. Trust comes from --trust, MBD_TRUST,
./trust.toml, or the workspace's trust.toml, in this order; the file used is named on
standard error. Never believe one that came with the certificate.

\b
Exit codes
   0  valid at the checkpoint shown (whether superseded later is not checked)
   1  invalid or malformed
   2  wrong usage: no such file, a bad trust file
   3  undecidable: no trust file, unknown key, version or theorem, level not evaluable
   9  valid, but the key was distrusted later
  70  internal error
Several files: the worst, in the order 70, 1, 3, 9, 0.
"""


@click.command(help=_HELP, epilog="Example: mbd verify cert.json --trust trust.toml")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--trust", type=click.Path(path_type=Path), help="Keys and limits you accept.")
@click.option(
    "--require",
    type=click.Choice(LEVELS, case_sensitive=False),
    help="Level to reach; default LOGGED.",
)
@click.option(
    "--model",
    "model_dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with the released model: hold its files, constants and noise against the claim.",
)
@click.option(
    "--receipt",
    type=click.Path(path_type=Path),
    help="The subject's receipt: open the certificate's commitments.",
)
@click.option(
    "--reproduce",
    "retained",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Workspace with the retained data: rebuild the state and the heads, and compare.",
)
@click.option(
    "--escrow",
    type=click.Path(path_type=Path),
    help="With --reproduce: what opens the commitments, where there is no receipt.",
)
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
    as_json: bool,
) -> None:
    level = next((name for name in LEVELS if require and name == require.upper()), None)
    paths = _expand(files)
    source = find_trust(ctx, trust)
    policy = source.load()
    opening = read_regular(receipt, MAX_RECEIPT_BYTES) if receipt else None
    reproducer = _reproducer(retained, opening, escrow)
    contents = [read_regular(path, MAX_BUNDLE_BYTES) for path in paths]
    reports = [
        verify_bundle(
            data,
            policy,
            model_dir=model_dir,
            receipt=opening,
            reproducer=reproducer,
            require=level,
        )
        for data in contents
    ]
    source.tell()
    exit_code = worst([report.exit_code for report in reports])
    names = [printable(str(path)) for path in paths]
    named = [(name, report.to_json()) for name, report in zip(names, reports, strict=True)]
    blocks = [f"{_title(name)}\n{r.summary()}" for name, r in zip(names, reports, strict=True)]
    emit("verify", _payload(named, exit_code, source), as_json, "\n\n".join(blocks))
    ctx.exit(exit_code)


def _reproducer(
    folder: Path | None, receipt: bytes | None, escrow: Path | None
) -> Callable[[Case], str] | None:
    """What rebuilds from retained data; it alone loads what learning needs."""
    if folder is None:
        if escrow is not None:
            raise UsageError("--escrow needs --reproduce DIR", field="--escrow")
        return None
    from mbd.workflows.reproduce import make_reproducer

    opening = read_regular(escrow, MAX_RECEIPT_BYTES) if escrow else None
    return make_reproducer(folder, receipt=receipt, escrow=opening)


def _expand(patterns: tuple[str, ...]) -> list[Path]:
    """Files and patterns to files, in order, each once."""
    paths: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        found = [path] if path.exists() else [Path(p) for p in sorted(glob.glob(pattern))]
        files = [one for one in found if one == path or not one.is_dir()]
        if not files:
            raise UsageError(f"{pattern}: no such file", field="FILE", code="verify.no_file")
        paths.update(dict.fromkeys(files))
    return list(paths)


def _title(name: str) -> str:
    """The name above a report; in quotes if it could be read as part of one."""
    return name if " " not in name else f'"{name}"'


def _payload(
    reports: list[tuple[str, dict[str, Any]]], exit_code: int, source: TrustSource
) -> dict[str, Any]:
    """The worst report's fields on top; with several files, all of them under `files`."""
    path, first = next((p, r) for p, r in reports if r["exitCode"] == exit_code)
    document = {
        "file": path,
        **first,
        "trust": printable(str(source.path)) if source.path else None,
    }
    document["ownTrust"] = source.own
    if len(reports) > 1:
        document["files"] = [{"file": name, **report} for name, report in reports]
    return document
