"""From a URI in the settings to whatever signs: a file, a token, a service.

`file:` (the default) is a PKCS#8 PEM, `pkcs11:` a key in a token. Other packages add schemes
through entry points of the group `mbd.signers`: a name, and a function from the URI to a
`Signer`, which is one method and a public key.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from mbd.errors import MbdError, UsageError
from mbd.signing.keys import Signer, load_key

GROUP = "mbd.signers"

Open = Callable[[str], Signer]


def file_of(uri: str, folder: Path) -> Path | None:
    """The key file that a URI names, relative ones in `folder`; None if it is no `file:` URI.

    Raises:
        UsageError: It has no scheme, or names no file.
    """
    scheme, separator, rest = uri.partition(":")
    if not separator or not rest:
        raise UsageError(
            f"{uri!r} is no URI of a key: want file:PATH or another scheme with a colon",
            code="key.uri",
        )
    return folder / rest if scheme == "file" else None


def open_signer(uri: str, folder: Path) -> Signer:
    """The signer that a URI names.

    Args:
        uri: As in the settings.
        folder: Where a relative `file:` path begins.

    Raises:
        UsageError: Nothing here serves the scheme.
        MbdError: The key is not there, or cannot be used.
    """
    path = file_of(uri, folder)
    return load_key(path) if path is not None else _opener(uri.partition(":")[0])(uri)


def _opener(scheme: str) -> Open:
    if scheme == "pkcs11":
        opened: Open = importlib.import_module("mbd.signing.pkcs11").open_token_key
        return opened
    found = list(entry_points(group=GROUP, name=scheme))
    if len(found) != 1:
        many = "more than one package serves" if found else "nothing here serves"
        raise UsageError(
            f"{many} keys of the kind {scheme!r}",
            code="key.scheme",
            hint=f"install exactly one package with an entry point {scheme!r} in the group {GROUP}",
        )
    try:
        loaded: Open = found[0].load()
    except (ImportError, AttributeError) as error:
        raise MbdError(
            f"the signer for {scheme!r} is broken: {error}", code="key.scheme"
        ) from error
    return loaded
