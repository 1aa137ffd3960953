"""Everything a revocation is going to need, looked at before the request is recorded.

A request that was recorded is carried to its end by whatever command runs next, and stops
every other change until then. So what can be known to fail half way is refused at the door,
while nothing has changed: a torn file, a lost key, a log that was restored from a backup.
"""

from __future__ import annotations

from collections.abc import Iterable

from mbd.certificate.basis import check_basis
from mbd.database import models
from mbd.deletion.taint import check_declared
from mbd.errors import IntegrityError
from mbd.signing.keys import check_signer
from mbd.verify.trust import load_trust
from mbd.workflows.issuer_name import check_known_name
from mbd.workflows.plans import model_facts
from mbd.workflows.session import Session


def check_ready(session: Session, heads: Iterable[str]) -> None:
    """Refuse to begin what could not be finished.

    Args:
        session: A workspace, with its lock held.
        heads: Heads that are going to be released anew.

    Raises:
        DataError: The settings' basis is nothing that a certificate may say.
        RefusedError: The settings' issuer is not the name that the key is known by.
        MbdError: A key, the ledger, the secrets, the trust file, or a file of the model or
            of the state is missing, torn or altered; names it.
    """
    _check_keys(session)
    check_basis(session.settings.deletion.basis)
    session.log.publish()  # signs nothing new; refuses a log that is older than what was signed
    session.secrets.salts("")
    model, state = session.model(), session.state()
    model.snapshot.check()
    with session.database.read() as connection:
        entry = models.policy_index(connection, model.snapshot.model_id)
    check_declared(model_facts(model, state, entry))
    for head in heads:
        state.load(head)


def _check_keys(session: Session) -> None:
    issuer, where = session.issuer_key, session.settings.issuer_key
    known = load_trust(session.workspace.trust_file).issuer(issuer.public.key_id)
    if known is None:
        raise IntegrityError(
            f"{where} is not the key that {session.workspace.trust_file} knows: "
            "no certificate would verify",
            code="key.unknown",
            field="issuer",
            hint="restore the key from a backup; or put a new one in force with `mbd key rotate`",
        )
    if known.ended:
        raise IntegrityError(
            f"{where} is retired or distrusted: no certificate would verify",
            code="key.retired",
            field="issuer",
            hint="restore the key that follows it, or put a new one in force: `mbd key rotate`",
        )
    check_known_name(session)
    check_signer(issuer)
    check_signer(session.log_key)
