"""The one sentence of a certificate that its issuer words: short, plain, without places."""

from __future__ import annotations

import re
from functools import lru_cache

from mbd.certificate.characters import as_read, is_shown
from mbd.errors import DataError

# Without \w, \b and look-behind, which differ between languages or are missing in some.
_LETTER = r"[^\x00-/:-@\[-^`{-\x7f]"
"""What may begin a name: letters, digits and `_` of ASCII, and everything beyond ASCII."""
_BEFORE = "(^|[\\x00-/:-@\\[-^`{-\\x7f\u00a1-\u00bf\u2010-\u205e\u3001-\u303f])"
"""What may stand before a place: nothing, a sign of ASCII, or quotation marks and dashes."""
_WHERE = re.compile(rf"{_BEFORE}(/|[A-Za-z]:\\|\\\\){_LETTER}|{_LETTER}(://|@{_LETTER})")
_PROMISES = re.compile(
    r"[Cc][Ee][Rr][Tt][Ii][Ff]([Yy]|[Ii][Ee])|[Gg][Uu][Aa][Rr][Aa][Nn][Tt]"
    r"|(^|[^A-Za-z0-9_])[Pp][Rr][Oo]([Oo][Ff]|[Vv][Ee])"
)


@lru_cache(maxsize=64)  # an issuer has few of them
def check_basis(basis: str) -> None:
    """The one sentence of a certificate that its issuer words: short, plain, without places."""
    if not 0 < len(basis) <= 2000 or not is_shown(basis):
        raise DataError("basis: want one line of text", code="class.basis", field="basis")
    if _WHERE.search(as_read(basis)):
        raise DataError(
            f"basis: a path or address in {basis[:60]!r}", code="class.private", field="basis"
        )


def promises(basis: str) -> bool:
    """Whether it has a word that only a guarantee may have."""
    return _PROMISES.search(as_read(basis)) is not None
