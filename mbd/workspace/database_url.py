"""The URL of a PostgreSQL database. It may hold a password, so it is taken apart here alone."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from mbd.errors import UsageError

DRIVER = "postgresql+psycopg"
SCHEMES = (DRIVER, "postgresql", "postgres")
_SECRET = ("password", "sslpassword")


def described(url: str) -> str:
    """What to call the database in messages: where it is, never who asks nor the password."""
    parts = urlsplit(url)
    host = parts.hostname or dict(parse_qsl(parts.query)).get("host") or "the local socket"
    port = f":{parts.port}" if parts.port else ""
    return f"PostgreSQL database {unquote(parts.path[1:])} at {host}{port}"


def check_url(url: str) -> str:
    """The URL in the spelling that the driver is chosen by.

    Raises:
        UsageError: It is no URL of a PostgreSQL database. The message does not quote it.
    """
    try:
        parts = urlsplit(url)
        bad_port = parts.port == 0
    except ValueError:
        raise _refused("it is no URL") from None
    if parts.scheme not in SCHEMES:
        raise _refused(f"want {DRIVER}://USER@HOST/DATABASE")
    if bad_port or not parts.path.strip("/"):
        raise _refused("it names no database, or port 0")
    return DRIVER + url[len(parts.scheme) :]


def without_password(url: str) -> str:
    """The same URL, fit to be written down."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in _SECRET]
    query = f"?{urlencode(kept, safe='/')}" if kept else ""
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}{query}"


def has_password(url: str) -> bool:
    """Whether a URL holds a password."""
    parts = urlsplit(url)
    secret = any(name in _SECRET for name, _ in parse_qsl(parts.query))
    return parts.password is not None or secret


def _refused(why: str) -> UsageError:
    return UsageError(
        f"the URL of the database: {why}",
        code="database.url",
        field="database_url",
        hint="set MBD_DATABASE_URL, or database_url in mbd.toml (there without a password)",
    )
