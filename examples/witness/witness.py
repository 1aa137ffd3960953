"""A witness in one file: it signs a checkpoint only if the log grew to it from the last one.

    python witness.py new watch.example/w1            # makes a key, prints its public half (vkey)
    python witness.py fingerprint                     # of that, to read out to auditors
    python witness.py watch VKEY                      # a log to watch: `mbd key export --vkey`
    python witness.py cosign growth.txt               # prints the line to append, or refuses
    python witness.py size ORIGIN                     # of the checkpoint that it signed last

Key and memory are in witness.json, or where WITNESS_FILE says; nobody else may write there.
Sources: C2SP tlog-witness (add-checkpoint), tlog-cosignature, signed-note; RFC 9162, 2.1.4.2.
Standard Python (3.11) and `cryptography`; nothing of this project.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MEMORY = Path(os.environ.get("WITNESS_FILE", "witness.json"))
NAME = r"[^\s+]+"
LOG_KEY, COSIGNATURE = b"\x01", b"\x04"
REQUEST = re.compile(
    r"old (0|[1-9]\d{0,17})\n((?:[^\s=]{43}=\n){0,63})\n"  # size before, hashes
    r"(([^\n]+)\n(0|[1-9]\d{0,17})\n([^\s=]{43}=)\n)\n"  # checkpoint: origin, size, root
    r"((?:\u2014 [^\n]+ [^\n]+\n)+)",  # signature lines
    re.ASCII,
)


class Refused(Exception):
    """What this witness does not sign, and why."""


def need(holds: object, why: str) -> None:
    if not holds:
        raise Refused(why)


def key_id(name: str, key: bytes) -> bytes:
    """Four bytes; the key begins with its type."""
    return hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]


def vkey_of(name: str, key: bytes) -> str:
    return f"{name}+{key_id(name, key).hex()}+{base64.b64encode(key).decode()}"


def parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def grew(old: int, old_root: bytes, new: int, new_root: bytes, hashes: list[bytes]) -> bool:
    """Whether the tree of size `old` is the beginning of that of size `new`."""
    if old in (0, new):  # every tree begins with the empty one
        return not hashes and (old == 0 or old_root == new_root)
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    path = [old_root, *hashes] if old & (old - 1) == 0 else hashes
    before = after = path[0] if path else b""
    for sibling in path[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            before, after = parent(sibling, before), parent(sibling, after)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            after = parent(after, sibling)
        first, last = first >> 1, last >> 1
    return (last, before, after) == (0, old_root, new_root)


def check_log_signature(log: dict[str, Any], text: str, lines: str) -> None:
    """At least one line is by the log's key, and holds."""
    name, _, encoded = log["vkey"].split("+", 2)
    key = base64.b64decode(encoded)
    found = re.findall(rf"\u2014 ({NAME}) (\S+)\n", lines)
    signatures = [base64.b64decode(one) for who, one in found if who == name]
    ours = [one[4:] for one in signatures if one[:4] == key_id(name, key)]
    need(ours, "the log did not sign this")
    for one in ours:
        Ed25519PublicKey.from_public_bytes(key[1:]).verify(one, text.encode())


def cosign(state: dict[str, Any], request: str, now: int) -> str:
    """The line that says: at this time, this log had grown to this checkpoint."""
    found = REQUEST.fullmatch(request)
    need(found, "want what `mbd ledger consistency` prints")
    assert found is not None
    text, origin, new = found[3], found[4], int(found[5])
    need(origin in state["logs"], f"{origin} is not watched here")
    log = state["logs"][origin]
    check_log_signature(log, text, found[7])
    need(int(found[1]) == log["size"], f"ask for a proof from size {log['size']}")
    need(new >= log["size"], "the log went back")
    hashes = [base64.b64decode(one) for one in found[2].split()]
    roots = base64.b64decode(log["root"]), base64.b64decode(found[6])
    need(grew(log["size"], roots[0], new, roots[1], hashes), "NOT the same log: keep this proof")
    log["size"], log["root"] = new, found[6]
    key = own_key(state)
    signature = key.sign(f"cosignature/v1\ntime {now}\n{text}".encode())
    public = COSIGNATURE + key.public_key().public_bytes_raw()
    content = key_id(state["name"], public) + now.to_bytes(8, "big") + signature
    return f"\u2014 {state['name']} {base64.b64encode(content).decode()}"


def remember(state: dict[str, Any], *, new: bool = False) -> None:
    """Durably, before anything that follows from it is said."""
    draft = MEMORY.with_name(MEMORY.name + ".partial")
    target = MEMORY if new else draft
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | (os.O_EXCL if new else os.O_TRUNC), 0o600)
    with os.fdopen(handle, "w") as stream:
        json.dump(state, stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    if not new:
        os.replace(draft, MEMORY)


def own_key(state: dict[str, Any]) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(state["key"]))


def fingerprint(key: Ed25519PrivateKey) -> str:
    """SHA-256 of the DER form of the public half, in groups of four."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return " ".join(re.findall("....", hashlib.sha256(der).hexdigest()))


def run(command: str, argument: str = "") -> str:
    if command == "new":
        need(re.fullmatch(NAME, argument), "want a name such as watch.example/w1")
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes_raw().hex()
        remember({"name": argument, "key": private, "logs": {}}, new=True)
        return vkey_of(argument, COSIGNATURE + key.public_key().public_bytes_raw())
    state = json.loads(MEMORY.read_text())
    if command == "watch":
        name, _, encoded = argument.split("+", 2)
        key_bytes = base64.b64decode(encoded)
        need(vkey_of(name, key_bytes) == argument and key_bytes[:1] == LOG_KEY, "not a log's vkey")
        need(name not in state["logs"], f"{name} is watched already")
        state["logs"][name] = {"vkey": argument, "size": 0, "root": ""}
        answer = f"watching {name}, from size 0"
    elif command == "fingerprint":
        return fingerprint(own_key(state))
    elif command == "size":
        need(argument in state["logs"], f"{argument} is not watched here")
        return str(state["logs"][argument]["size"])
    else:
        need(command == "cosign", f"no command {command!r}")
        answer = cosign(state, Path(argument).read_text("utf-8"), int(time.time()))
    remember(state)
    return answer


if __name__ == "__main__":
    try:
        need(len(sys.argv) in (2, 3), "want: new NAME, watch VKEY, cosign FILE, size ORIGIN")
        print(run(*sys.argv[1:]))
    except Exception as error:  # noqa: BLE001  whatever goes wrong, nothing is signed
        sys.exit(f"refused: {error or type(error).__name__}")
