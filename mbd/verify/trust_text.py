"""How a trust file spells whom to believe: what `mbd.verify.trust` reads."""

from __future__ import annotations

import json

from mbd.canonical.digest import b64encode
from mbd.verify.trusted import TrustedIssuer, TrustPolicy


def render_trust(policy: TrustPolicy) -> str:
    """The trust file that says this; comments that somebody wrote into an older one are lost."""
    parts = ["# Whom `mbd verify` believes. Get these keys from their owners, never from a bundle."]
    for one in policy.issuers:
        parts += [
            "",
            "[[issuer]]",
            f"name = {_quoted(one.name)}",
            f'keyId = "{one.key.key_id}"',
            f'publicKey = "{b64encode(one.key.der)}"',
            *_bounds(one),
        ]
    if policy.log is not None:
        vkey = _quoted(str(policy.log.key))
        parts += ["", "[log]", f"origin = {_quoted(policy.log.origin)}", f"vkey = {vkey}"]
    for watcher in policy.witnesses:
        names = [f"name = {_quoted(watcher.name)}", f"vkey = {_quoted(str(watcher.key))}"]
        parts += ["", "[[witness]]", *names]
    if policy.witnesses:
        parts += ["", "[witnesses]", f"quorum = {policy.quorum}"]
    limits = {"epsilon": policy.max_epsilon, "delta": policy.max_delta}
    lines = [f"{name} = {value!r}" for name, value in limits.items() if value is not None]
    parts += ["", "[limits]", *lines] if lines else []
    return "\n".join([*parts, ""])


def _bounds(one: TrustedIssuer) -> list[str]:
    found = {
        "validFrom": one.valid_from or None,
        "retiredFrom": one.retired_from,
        "distrustedFrom": one.distrusted_from,
    }
    return [f"{name} = {value}" for name, value in found.items() if value is not None]


def _quoted(text: str) -> str:
    """A TOML basic string; its escapes are those of JSON, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
