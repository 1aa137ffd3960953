"""The name that certificates are issued under: it belongs to a key, as trust files say it.

Whoever verifies looks up the key, and the name beside it must be the certificate's. So a name
cannot change while the key stays: older certificates would not verify any more, or newer ones.
"""

from __future__ import annotations

from mbd.errors import RefusedError, UsageError
from mbd.verify.trust import load_trust
from mbd.workflows.session import Session

MAX_CHARACTERS = 200

HINT = (
    "put the old name back; or run `mbd key rotate` to sign under the new one with a new key: "
    "older certificates keep name and key, and auditors need the new `mbd key export`"
)


def check_issuer_name(name: str, *, field: str = "--issuer") -> None:
    """Refuse a name that no certificate could hold, or no reader could compare.

    Raises:
        UsageError: It is empty, too long, padded, or not plain text on one line.
    """
    if not 0 < len(name) <= MAX_CHARACTERS or not name.isprintable() or name != name.strip():
        raise UsageError(
            f"want 1 to {MAX_CHARACTERS} printable characters on one line, without spaces at the "
            "ends",
            field=field,
            hint='a name that auditors know, like "Example Clinic, Vienna"',
        )


def other_name(session: Session) -> str | None:
    """What `trust.toml` calls the key that signs, if the settings call it otherwise."""
    known = load_trust(session.workspace.trust_file).issuer(session.issuer_key.public.key_id)
    if known is None or known.name == session.settings.issuer:
        return None
    return known.name


def check_known_name(session: Session) -> None:
    """Refuse to sign under a name that does not belong to the key.

    Raises:
        RefusedError: The settings were edited, and the trust file was not; no certificate
            would verify.
    """
    name = other_name(session)
    if name is not None:
        raise RefusedError(
            f"mbd.toml says that the issuer is {session.settings.issuer!r}, trust.toml calls its "
            f"key {name!r}: no certificate would verify",
            code="issuer.name",
            field="issuer",
            hint=HINT,
        )
