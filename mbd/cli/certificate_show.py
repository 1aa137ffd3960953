"""`mbd certificate show`: a certificate as a page for a person who is no engineer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

from mbd.canonical.text import printable
from mbd.certificate.bundle import MAX_BUNDLE_BYTES, parse_bundle
from mbd.certificate.page import Finding, Key, Page, Trust
from mbd.certificate.page_html import page_html
from mbd.certificate.page_sections import make_page
from mbd.certificate.page_text import page_text
from mbd.certificate.page_words import Standing, punctuality
from mbd.certificate.receipt import MAX_RECEIPT_BYTES, Receipt, parse_receipt
from mbd.cli.output import emit, json_option
from mbd.cli.trust_source import TrustSource, find_trust
from mbd.errors import DataError, UsageError
from mbd.signing.public import ed25519_key
from mbd.verify import Report, TrustPolicy, verify_bundle
from mbd.verify.reading import read_regular
from mbd.verify.report import LIMITS, Level
from mbd.workspace.files import refuse_existing, write_new

if TYPE_CHECKING:
    from mbd.certificate.bundle import Bundle
    from mbd.certificate.statement import Predicate

_HELP = """A certificate in plain words: for the person who asked, their lawyer, a privacy officer.

Says first whether FILE was verified, with the trust file that `mbd verify` would take; then what
was removed, whether it was in time, what the numbers mean, what stays, and how to check. Shows
an invalid file too, and says so: exit code 0 means that it could be shown, 1 that it could not be
read. `mbd verify` is the command whose exit code is the verdict.

--html writes one file without scripts that needs no network; print it from a browser. A file that
exists is never replaced. - is standard output.
"""


@click.command(help=_HELP, epilog="Example: mbd certificate show cert.json --html page.html")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--html",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="OUT",
    help="Write a page for the browser and the printer.",
)
@click.option("--trust", type=click.Path(path_type=Path), help="Keys and limits you accept.")
@click.option(
    "--receipt",
    type=click.Path(path_type=Path),
    help="The person's receipt: say too what was erased. The page then names them.",
)
@json_option
@click.pass_context
def show(
    ctx: click.Context,
    file: Path,
    html: Path | None,
    trust: Path | None,
    receipt: Path | None,
    as_json: bool,
) -> None:
    if as_json and str(html) == "-":
        raise UsageError("standard output takes the page or --json, not both", field="--html")
    if html is not None and str(html) != "-":
        refuse_existing(html, field="--html")
    source = find_trust(ctx, trust)
    policy = source.load()
    data = read_regular(file, MAX_BUNDLE_BYTES)
    opening = read_regular(receipt, MAX_RECEIPT_BYTES) if receipt else None
    bundle = parse_bundle(data)
    predicate = bundle.statement().predicate
    opened = _receipt(opening, predicate)
    report = verify_bundle(data, policy, receipt=opening)
    source.tell()
    finding = _finding(report, bundle, policy, source)
    page = make_page(predicate, finding, opened if _passed(report, "SUBJECT") else None)
    if html is not None:
        _write(html, page, private=opened is not None)
    payload = _payload(file, predicate, page, report, html)
    if html is None or as_json:
        emit("certificate show", payload, as_json, page_text(page, _width()))
    elif str(html) != "-":
        click.echo(f"{page.verdict}: {printable(str(html))}")


def _receipt(opening: bytes | None, predicate: Predicate) -> Receipt | None:
    """The receipt, if one was given.

    Raises:
        DataError: It is none, or that of another certificate.
    """
    receipt = parse_receipt(opening) if opening is not None else None
    if receipt is not None and receipt.certificate_id != predicate.certificate_id:
        raise DataError(
            f"this receipt is for the certificate {receipt.certificate_id}",
            code="receipt.other",
            field="--receipt",
        )
    return receipt


def _finding(
    report: Report, bundle: Bundle, policy: TrustPolicy | None, source: TrustSource
) -> Finding:
    """What the report says, without its types: a certificate knows no verifier."""
    trust: Trust = "own" if source.own else "named" if source.named else "found"
    return Finding(
        standing=_standing(report, policy),
        reason=_reason(report) if policy or report.first_failed else "",
        levels=tuple((report.level_reached or "").split("+")),
        checkpoint=report.checkpoint,
        not_checked=tuple(one.name for one in report.checks if one.result == "skipped"),
        limits=LIMITS,
        trust=trust if policy else "none",
        keys=tuple(_keys(bundle, policy)),
        checked_on=datetime.now(UTC).date(),
    )


def _standing(report: Report, policy: TrustPolicy | None) -> Standing:
    """Without a trust file a file may still be plainly invalid, but nothing else is known."""
    if report.verdict == "undecided" and policy is None:
        return "unchecked"
    return report.verdict


def _reason(report: Report) -> str:
    """The check that decided against the file, in plain words, and its code."""
    open_ = (c for c in report.checks if c.result == "skipped" and c.level in report.missing)
    decisive = report.first_failed or (next(open_, None) if report.missing else None)
    return f"{decisive.text} ({decisive.code})" if decisive else ""


def _passed(report: Report, level: Level) -> bool:
    return all(one.result == "pass" for one in report.checks if one.level == level)


def _keys(bundle: Bundle, policy: TrustPolicy | None) -> Iterator[Key]:
    """The keys that the file says signed it, believed or not, and the trusted log's."""
    for signature in bundle.envelope.signatures:
        issuer = policy.issuer(signature.key_id) if policy else None
        if issuer is not None:
            yield Key("issuer", issuer.name, issuer.key.fingerprint)
        else:
            digits = " ".join(wrap(signature.key_id, 4))
            yield Key("issuer", "named in the file", digits, believed=False)
    if policy is not None and policy.log is not None:
        key = ed25519_key(policy.log.key.public_key)
        yield Key("log", policy.log.origin, key.fingerprint)


def _write(out: Path, page: Page, *, private: bool) -> None:
    """One file, whole or not at all; readable by its owner alone if it names a person."""
    content = page_html(page).encode()
    if str(out) == "-":
        click.echo(content, nl=False)
        return
    write_new(out, content, mode=0o600 if private else 0o644, field="--html")


def _width() -> int:
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, 88))


def _payload(
    file: Path, predicate: Predicate, page: Page, report: Report, html: Path | None
) -> dict[str, Any]:
    request, guarantee = predicate.request, predicate.guarantee
    in_time, _ = punctuality(request)
    return {
        "file": printable(str(file)),
        "html": printable(str(html)) if html else None,
        "verifyExitCode": report.exit_code,
        "levelReached": report.level_reached,
        "receivedOn": request.received_on,
        "dueBy": request.due_by,
        "completedOn": request.completed_on,
        "inTime": in_time,
        "class": guarantee.guarantee_class,
        "epsilon": guarantee.epsilon,
        "delta": guarantee.delta,
        **page.to_json(),
    }
