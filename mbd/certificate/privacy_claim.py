"""The privacy loss that a certificate states, recomputed from its constants."""

from __future__ import annotations

from mbd.canonical.numbers import from_decimal
from mbd.certificate.shared_parts import once
from mbd.certificate.statement import Guarantee, few_heads
from mbd.errors import ArithmeticRefused, DataError
from mbd.privacy.accountant import account
from mbd.values import MAX_DELTA


@once(few_heads)
def check_privacy(guarantee: Guarantee) -> None:
    """Recompute the claim from the constants: stated rho and epsilon are not below it.

    The formula is the issuer's own (`mbd.privacy.accountant`), rounded up. A claim with a
    delta above `MAX_DELTA` is refused whatever it costs.
    """
    if guarantee.guarantee_class != "certified":
        return
    rho, epsilon, delta = _stated(guarantee)
    if delta > MAX_DELTA:
        raise DataError(
            f"delta {delta}: above {MAX_DELTA} a claim promises nothing", code="claim.delta"
        )
    try:
        heads = [item.values() for item in guarantee.parameters]
        loss = account(heads, delta, guarantee.attempts)
    except ArithmeticRefused as error:
        raise DataError(error.message, code=f"claim.{error.field or 'arithmetic'}") from error
    if rho < loss.rho:
        raise DataError(f"stated {rho}, recomputed {loss.rho}", code="claim.rho")
    if epsilon < loss.epsilon:
        raise DataError(f"stated {epsilon}, recomputed {loss.epsilon}", code="claim.epsilon")


def _stated(guarantee: Guarantee) -> tuple[float, float, float]:
    if guarantee.rho is None or guarantee.epsilon is None or guarantee.delta is None:
        raise DataError("certified states rho, epsilon and delta", code="class.certified")
    values = (guarantee.rho, guarantee.epsilon, guarantee.delta)
    rho, epsilon, delta = (from_decimal(text) for text in values)
    return rho, epsilon, delta
