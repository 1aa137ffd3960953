"""Signed notes and checkpoints: how a log speaks to strangers.

Sources: C2SP signed-note v1.0.0 (https://c2sp.org/signed-note) and C2SP tlog-checkpoint
(https://c2sp.org/tlog-checkpoint); sections are named where their rules are. Only Ed25519
signatures (type 0x01) are made and checked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mbd.canonical.digest import b64decode_strict, b64encode
from mbd.errors import DataError, IntegrityError, MbdError

ED25519 = 0x01
"""Signature type identifier; signed-note, "Signature types"."""

MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
"""Signature lines read; signed-note, "Format", asks for at least 16."""

_DASH = "\N{EM DASH} "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,17}")
_KEY_ID = re.compile(r"[0-9a-f]{8}")


class NoteSigner(Protocol):
    """A named Ed25519 key that can sign."""

    @property
    def name(self) -> str:
        """Key name in the signature line; for a log, its origin."""

    @property
    def public_key(self) -> bytes:
        """Raw public key, 32 bytes (RFC 8032)."""

    def sign(self, data: bytes) -> bytes:
        """Ed25519 signature of `data`, 64 bytes."""


@dataclass(frozen=True)
class VerifierKey:
    """A named public key, as written in a trust file: `name+keyid+base64(type || key)`."""

    name: str
    public_key: bytes
    kind: int = ED25519
    """Signature type identifier: what the key signs, and how."""

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public_key) != 32:
            raise _malformed(f"key {self.name}: an Ed25519 public key has 32 bytes")

    @cached_property
    def key_id(self) -> bytes:
        """First four bytes of SHA-256(name || 0x0A || type || key); "Ed25519 signatures"."""
        content = self.name.encode() + b"\n" + bytes([self.kind]) + self.public_key
        return hashlib.sha256(content).digest()[:4]

    def __str__(self) -> str:
        key = b64encode(bytes([self.kind]) + self.public_key)
        return f"{self.name}+{self.key_id.hex()}+{key}"


@dataclass(frozen=True)
class SignatureLine:
    """One line below the text of a note; not yet checked."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Note:
    """A text with signatures. Ignore the text until `open_note` has checked one of them."""

    text: str
    signatures: tuple[SignatureLine, ...]


@dataclass(frozen=True)
class OpenedNote:
    """A text that at least one known key has signed."""

    text: str
    signers: tuple[VerifierKey, ...]
    """Known keys with a good signature, in the order of the note."""
    ignored: tuple[SignatureLine, ...]
    """Signatures of unknown keys."""


@dataclass(frozen=True)
class Checkpoint:
    """A tree head: which log, how many leaves, which root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note text: origin, size, root, one per line."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root)}\n"


def parse_verifier_key(text: str, kind: int = ED25519) -> VerifierKey:
    """Read a vkey of one type.

    Raises:
        DataError: It is malformed, of another type, or its key id does not match the key.
    """
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    if not _KEY_ID.fullmatch(key_id):
        raise _malformed(f"verifier key {name!r}: want name+8 hex digits+base64")
    content = _base64(encoded, f"verifier key {name!r}")
    if len(content) != 33 or content[0] != kind:
        raise _malformed(f"verifier key {name!r}: want type 0x{kind:02x} and 32 bytes")
    key = VerifierKey(name, content[1:], kind)
    if key.key_id.hex() != key_id:
        raise _malformed(f"verifier key {name!r}: the key id does not match the key")
    return key


def sign_note(text: str, signer: NoteSigner) -> str:
    """The note that says `text`, signed once: text, blank line, signature line ("Format")."""
    _check_text(text)
    key = VerifierKey(signer.name, signer.public_key)
    signature = b64encode(key.key_id + signer.sign(text.encode()))
    return f"{text}\n{_DASH}{key.name} {signature}\n"


@lru_cache(maxsize=4)  # the checkpoint of one bundle is asked for its root, then for its signers
def parse_note(data: bytes | str) -> Note:
    """Split a note into text and signature lines; the last blank line separates them ("Format").

    Raises:
        DataError: It is not a note.
    """
    text, separator, below = _decode(data).rpartition("\n\n")
    if not separator or not below.endswith("\n"):
        raise _malformed("a note ends with a blank line and signature lines")
    lines = below[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise _malformed(f"more than {MAX_SIGNATURES} signatures")
    return Note(text + "\n", tuple(_parse_signature(line) for line in lines))


def open_note(data: bytes | str, keys: Collection[VerifierKey]) -> OpenedNote:
    """Parse a note and check every signature made by a known key.

    A key is known by name and id together. Signatures of others are ignored, one wrong
    signature of a known key refuses the note, and so does none at all ("Signatures").

    Raises:
        DataError: It is not a note.
        IntegrityError: No known key signed it, or the signature of a known key is wrong.
    """
    note = parse_note(data)
    known = {(key.name, key.key_id): key for key in keys}
    signers: dict[VerifierKey, None] = {}
    ignored: dict[SignatureLine, None] = {}
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            ignored[line] = None
            continue
        _check_signature(key, line.signature, note.text)
        signers[key] = None
    if not signers:
        raise IntegrityError("no known key signed this note", code="note.unknown_key")
    return OpenedNote(note.text, tuple(signers), tuple(ignored))


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> str:
    """The signed note of a tree head."""
    return sign_note(checkpoint.text, signer)


@lru_cache(maxsize=4)  # as for notes
def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint's note: origin, size, root (tlog-checkpoint, "Note text").

    Extension lines are opaque and dropped; like every other line they are not empty.

    Raises:
        DataError: It is not a checkpoint.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] != "" or not all(lines[:-1]):
        raise _malformed("a checkpoint has at least three non-empty lines")
    origin, size, root = lines[:3]
    if not _DECIMAL.fullmatch(size):
        raise _malformed(f"checkpoint of {origin}: size {size[:20]!r} is not a plain decimal")
    digest = _base64(root, f"checkpoint of {origin}")
    if len(digest) != 32:
        raise _malformed(f"checkpoint of {origin}: a root has 32 bytes")
    return Checkpoint(origin, int(size), digest)


@lru_cache(maxsize=8)  # the files of one run show each other's, and what is remembered
def open_checkpoint(data: bytes | str, key: VerifierKey, origin: str) -> Checkpoint:
    """The tree head in a note that the log's own key signed.

    Raises:
        DataError: It is not a checkpoint.
        IntegrityError: Another log's, not signed by `key`, or wrongly signed.
    """
    checkpoint = parse_checkpoint(open_note(data, [key]).text)
    if checkpoint.origin != origin:
        raise IntegrityError(
            f"a checkpoint of {checkpoint.origin!r}, not of {origin!r}", code="note.other_log"
        )
    return checkpoint


def _check_signature(key: VerifierKey, signature: bytes, text: str) -> None:
    try:
        loaded(key.public_key).verify(signature, text.encode())
    except (InvalidSignature, ValueError) as error:
        raise IntegrityError(
            f"the signature of {key.name} does not match the note", code="note.signature"
        ) from error


@lru_cache(maxsize=64)
def loaded(public_key: bytes) -> Ed25519PublicKey:
    """The key of the library; a verifier asks the same few keys again and again."""
    return Ed25519PublicKey.from_public_bytes(public_key)


def _parse_signature(line: str) -> SignatureLine:
    """Em dash, space, key name, space, base64 of key id and signature ("Format")."""
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator:
        raise _malformed("a signature line is: em dash, space, name, space, base64")
    _check_name(name)
    content = _base64(encoded, f"signature of {name}")
    if len(content) < 5:
        raise _malformed(f"signature of {name}: too short")
    return SignatureLine(name, content[:4], content[4:])


def _decode(data: bytes | str) -> str:
    """UTF-8 without control characters but for newlines ("Format")."""
    try:
        content = data.encode() if isinstance(data, str) else data
        text = data if isinstance(data, str) else data.decode()
    except UnicodeError as error:
        raise _malformed("not UTF-8") from error
    if len(content) > MAX_NOTE_BYTES:
        raise _malformed(f"longer than {MAX_NOTE_BYTES} bytes")
    if _CONTROL.search(text):
        raise _malformed("it holds a control character")
    return text


def _check_text(text: str) -> None:
    if not text.endswith("\n") or _CONTROL.search(text):
        raise _malformed("the text ends with a newline and holds no control character")


def _check_name(name: str) -> None:
    """Not empty, no Unicode space, no plus ("Format")."""
    if "+" in name or name.split() != [name]:
        raise _malformed(f"key name {name!r}: want no space, no plus, not empty")


def _base64(text: str, what: str) -> bytes:
    try:
        return b64decode_strict(text)
    except MbdError as error:
        raise _malformed(f"{what}: {error.message}") from error


def _malformed(detail: str) -> DataError:
    return DataError(f"signed note: {detail}", code="note.malformed")
