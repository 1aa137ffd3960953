"""`mbd export`: a certificate in a form that other tools read."""

from __future__ import annotations

from pathlib import Path

import click

from mbd.canonical.json import dumps
from mbd.certificate.bundle import MAX_BUNDLE_BYTES, parse_bundle
from mbd.certificate.sigstore import sigstore_bundle
from mbd.cli.output import emit, json_option, note
from mbd.errors import UsageError
from mbd.verify.reading import read_regular
from mbd.workspace.files import refuse_existing, write_new


@click.command(epilog="Example: mbd export cert.json --sigstore-bundle -o cert.sigstore.json")
@click.argument("certificate", type=click.Path(path_type=Path), metavar="CERT.json")
@click.option("--sigstore-bundle", "as_sigstore", is_flag=True, help="Sigstore bundle, v0.3.")
@click.option("--key", help="Key id of the signature to take, or how it begins.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write to this new file.")
@json_option
def export(
    certificate: Path, as_sigstore: bool, key: str | None, out: Path | None, as_json: bool
) -> None:
    """A certificate in a form that other tools read; it is not verified first.

    A Sigstore bundle holds the signed statement and says which key signed. It cannot say that
    the certificate is in our log: keep the certificate itself for that.
    """
    if not as_sigstore:
        raise UsageError(
            "which form? --sigstore-bundle is the one there is", field="--sigstore-bundle"
        )
    if out is not None:
        refuse_existing(out, field="--out")
    envelope = parse_bundle(read_regular(certificate, MAX_BUNDLE_BYTES)).envelope
    bundle = sigstore_bundle(envelope, key)
    content = dumps(bundle)
    if out is not None:
        write_new(out, content, field="--out")
    payload = {
        "format": bundle["mediaType"],
        "keyId": bundle["verificationMaterial"]["publicKey"]["hint"],
        "out": str(out) if out else None,
        "bundle": None if out else bundle,
    }
    emit("export", payload, as_json, str(out) if out else content.decode())
    note(
        "not in the export: the proof that the log holds this certificate, which no entry of "
        "Rekor can express; `mbd verify` checks it in the certificate itself"
    )
