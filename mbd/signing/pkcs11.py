"""Keys in a PKCS#11 token (an HSM, a smart card, SoftHSM2): they never leave it.

The URI is that of RFC 7512, of which these attributes are read:
`pkcs11:token=LABEL;object=LABEL[;id=%xx..][?module-path=/path/to/library.so]`. The library may
also come from MBD_PKCS11_MODULE. The PIN is asked for at the first signature.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mbd.errors import DataError, MbdError, NotFoundError, TemporaryError, UsageError
from mbd.signing.passphrase import PIN, LockedError
from mbd.signing.public import PublicKey, ed25519_key, public_key

if TYPE_CHECKING:
    from mbd.signing.keys import Signer

MODULE_VARIABLE = "MBD_PKCS11_MODULE"

_PATH = {"token", "object", "id", "type"}
_QUERY = {"module-path"}


@dataclass(frozen=True)
class TokenKey:
    """A private key in a token; a `Signer`."""

    uri: str
    token: str
    criteria: dict[str, Any]
    """What finds the key in the token."""
    module: str

    @cached_property
    def public(self) -> PublicKey:
        """The public key object beside the private one; read without a PIN."""
        import pkcs11

        with self._errors(), self._open().open() as session:
            key = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, **self.criteria)
            return _public(key)

    def sign(self, data: bytes) -> bytes:
        """A signature made in the token; asks for the PIN the first time."""
        from pkcs11 import Mechanism

        with self._errors():
            if self.public.algorithm == "ed25519":
                return bytes(self._private.sign(data, mechanism=Mechanism.EDDSA))
            digest = hashlib.sha256(data).digest()
            # CKM_ECDSA signs a digest, and answers with r and s side by side.
            raw = bytes(self._private.sign(digest, mechanism=Mechanism.ECDSA))
        half = len(raw) // 2
        return encode_dss_signature(
            int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
        )

    @cached_property
    def _private(self) -> Any:
        import pkcs11

        token, pin = self._open(), PIN.ask(f"token {self.token}").decode()
        try:
            session = token.open(user_pin=pin)
        except pkcs11.exceptions.UserAlreadyLoggedIn:  # by another key of this token
            session = token.open()
        return session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, **self.criteria)

    def _open(self) -> Any:
        import pkcs11

        return pkcs11.lib(self.module).get_token(token_label=self.token)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the library says into our errors; it says little, so the class is named."""
        import pkcs11.exceptions as said

        try:
            yield
        except (said.PinIncorrect, said.PinInvalid, said.PinLenRange) as error:
            raise LockedError(f"{self.uri}: the PIN is wrong", code="key.passphrase") from error
        except said.PinLocked as error:
            raise LockedError(f"{self.uri}: the PIN is locked", code="key.locked") from error
        except (said.NoSuchToken, said.NoSuchKey) as error:
            missing = "token" if isinstance(error, said.NoSuchToken) else "key in the token"
            raise NotFoundError(f"{self.uri}: no such {missing}", code="key.not_found") from error
        except said.MultipleObjectsReturned as error:
            raise UsageError(f"{self.uri}: names more than one key", code="key.uri") from error
        except (said.PKCS11Error, RuntimeError) as error:
            detail = str(error) or type(error).__name__
            raise TemporaryError(
                f"{self.uri}: the token refused: {detail}",
                code="key.token",
                hint="is it there, and is module-path right?",
            ) from error


def open_token_key(uri: str) -> Signer:
    """The key that a `pkcs11:` URI names.

    Raises:
        UsageError: The URI says too little, or what it must not say.
        MbdError: The extra `pkcs11` is not installed.
    """
    try:
        import pkcs11  # noqa: F401
    except ImportError as error:
        raise MbdError(
            "keys in a token need another package",
            code="key.scheme",
            hint="pip install 'mbd[pkcs11]'",
        ) from error
    path, query = _attributes(uri)
    module = query.get("module-path", b"").decode() or os.environ.get(MODULE_VARIABLE, "")
    if "token" not in path or not path.keys() & {"object", "id"} or not module:
        raise UsageError(
            f"{uri}: want token=, object= or id=, and a library",
            code="key.uri",
            hint=f"name the library with ?module-path=FILE, or in {MODULE_VARIABLE}",
        )
    criteria: dict[str, Any] = {}
    if "object" in path:
        criteria["label"] = path["object"].decode()
    if "id" in path:
        criteria["id"] = path["id"]
    return TokenKey(uri, path["token"].decode(), criteria, module)


def _attributes(uri: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    path, _, query = uri.removeprefix("pkcs11:").partition("?")
    return _pairs(uri, path, ";", _PATH), _pairs(uri, query, "&", _QUERY)


def _pairs(uri: str, text: str, separator: str, known: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name not in known or not equals or name in found:
            raise UsageError(
                f"pkcs11 URI: {name!r} is not read here, or comes twice",
                code="key.uri",
                hint="a PIN is never part of a URI: set MBD_PKCS11_PIN or MBD_PKCS11_PIN_FILE"
                if name.startswith("pin-")
                else None,
            )
        found[name] = unquote_to_bytes(value)
    return found


def _public(key: Any) -> PublicKey:
    """What a public key object holds."""
    from pkcs11 import Attribute, KeyType
    from pkcs11.util.ec import encode_ec_public_key

    if key.key_type == KeyType.EC_EDWARDS:
        # The raw point inside a DER OCTET STRING: PKCS#11 v3.0, section 2.3.5.
        return ed25519_key(bytes(key[Attribute.EC_POINT]).removeprefix(b"\x04\x20"))
    if key.key_type == KeyType.EC:
        return public_key(bytes(encode_ec_public_key(key)))
    raise DataError("the key in the token is neither Ed25519 nor P-256", code="key.invalid")
