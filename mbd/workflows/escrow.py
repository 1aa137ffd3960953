"""The escrow of a certificate, from the salts that the workspace keeps for auditors."""

from __future__ import annotations

from mbd.certificate.escrow import ESCROWED, Escrow, make_escrow
from mbd.errors import RefusedError
from mbd.ledger.queries import find_entry
from mbd.workflows.session import Session


def escrow_of(session: Session, certificate_id: str) -> Escrow:
    """What opens data and state of a certificate of this workspace.

    Raises:
        NotFoundError: The ledger has no such certificate.
        RefusedError: Its salts were destroyed (`escrow.forgotten`).
    """
    with session.database.read() as connection:
        find_entry(connection, certificate_id)
    salts = session.secrets.salts(certificate_id)
    if not all(name in salts for name in ESCROWED):
        raise RefusedError(
            f"the salts of certificate {certificate_id} were forgotten",
            code="escrow.forgotten",
            hint="the person's receipt opens it too",
        )
    return make_escrow(certificate_id, salts)
