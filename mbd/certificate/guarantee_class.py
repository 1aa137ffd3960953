"""Which numbers, theorem and command go with each class of guarantee."""

from __future__ import annotations

from mbd.certificate.basis import check_basis, promises
from mbd.certificate.statement import Predicate
from mbd.errors import DataError

REPRODUCE = "mbd state check"
"""The one command that `reproduce` may name."""


def check_class(predicate: Predicate) -> None:
    """What may be stated under the class of the guarantee."""
    _RULES[predicate.guarantee.guarantee_class](predicate)
    expected = None if predicate.guarantee.theorem is None else REPRODUCE
    if predicate.guarantee.reproduce != expected:
        raise DataError(f"reproduce: want {expected or 'null'}", code="class.reproduce")
    check_basis(predicate.request.basis)


def _certified(predicate: Predicate) -> None:
    guarantee = predicate.guarantee
    if guarantee.theorem is None or None in (guarantee.rho, guarantee.epsilon, guarantee.delta):
        raise DataError("certified needs a theorem, rho, epsilon, delta", code="class.certified")
    if not guarantee.parameters or guarantee.attempts < 1:
        raise DataError("certified needs parameters and an attempt", code="class.certified")


def _exact(predicate: Predicate) -> None:
    guarantee = predicate.guarantee
    if (guarantee.rho, guarantee.epsilon, guarantee.delta) != ("0", "0", "0"):
        raise DataError("exact means rho = epsilon = delta = 0", code="class.exact")
    if guarantee.theorem is None or guarantee.reproduce is None or guarantee.parameters:
        raise DataError(
            "exact needs a theorem and a reproduce command, and has no noise parameters",
            code="class.exact",
        )
    if guarantee.attempts != 0:
        raise DataError("exact draws no noise, so there are no attempts", code="class.exact")


def _empirical(predicate: Predicate) -> None:
    guarantee = predicate.guarantee
    if (guarantee.rho, guarantee.epsilon, guarantee.delta) != (None, None, None):
        raise DataError("empirical states no privacy loss", code="class.empirical")
    if guarantee.theorem is not None or guarantee.parameters:
        raise DataError("empirical names no theorem and no parameters", code="class.empirical")
    if not guarantee.selected_heads:
        raise DataError("empirical is about heads, and none is selected", code="class.empirical")
    if promises(predicate.request.basis):
        raise DataError(
            f"empirical may not say {predicate.request.basis[:60]!r}", code="class.empirical"
        )


_RULES = {"certified": _certified, "exact": _exact, "empirical": _empirical}
