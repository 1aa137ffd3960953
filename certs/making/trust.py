"""Trust files: the honest one, and what an auditor may come to think of a key later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from making.keys import (
    ISSUER,
    LOG,
    NAME,
    ORIGIN,
    OTHER_ISSUER,
    OTHER_LOG,
    SECOND,
    WITNESSES,
)
from mbd.ledger.cosignature import COSIGNATURE
from mbd.ledger.note import VerifierKey
from mbd.verify.trust_text import render_trust
from mbd.verify.trusted import TrustedIssuer, TrustedLog, TrustedWitness, TrustPolicy

_ISSUERS = (
    TrustedIssuer(NAME, ISSUER.public),
    TrustedIssuer(NAME, SECOND.public),
    TrustedIssuer("Another Clinic", OTHER_ISSUER.public),
)
_WITNESSES = tuple(
    TrustedWitness(one.name, VerifierKey(one.name, one.public_key, COSIGNATURE))
    for one in WITNESSES
)
_PLAIN = TrustPolicy(issuers=_ISSUERS, log=TrustedLog(ORIGIN, LOG.vkey))


def _first(**changes: int) -> TrustPolicy:
    """The first key is believed for a part of the log only."""
    return replace(_PLAIN, issuers=(replace(_ISSUERS[0], **changes), *_ISSUERS[1:]))


POLICIES: Mapping[str, TrustPolicy] = {
    "trust.toml": _PLAIN,
    "trust/distrusted-before.toml": _first(distrusted_from=2),
    "trust/distrusted-later.toml": _first(distrusted_from=5),
    "trust/key-not-yet.toml": _first(valid_from=4),
    "trust/retired-before.toml": _first(retired_from=3),
    "trust/retired-later.toml": _first(retired_from=4),
    "trust/small-delta.toml": replace(_PLAIN, max_delta=1e-9),
    "trust/small-epsilon.toml": replace(_PLAIN, max_epsilon=1e-3),
    "trust/without-log.toml": replace(_PLAIN, log=None),
    "trust/two-of-three-witnesses.toml": replace(_PLAIN, witnesses=_WITNESSES, quorum=2),
    "trust/other-log.toml": replace(_PLAIN, log=TrustedLog(OTHER_LOG.name, OTHER_LOG.vkey)),
}
"""By the name of the file. Entry 3 of the log is the certificate's in every example."""


def trust_files() -> dict[str, bytes]:
    return {name: render_trust(policy).encode() for name, policy in POLICIES.items()}
