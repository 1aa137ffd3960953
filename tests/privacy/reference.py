"""The formulas of the privacy curve and of zCDP in 400-digit decimals: slow and obvious."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext

CONTEXT = Context(prec=400, Emin=-(10**9), Emax=10**9)


def pi() -> Decimal:
    """Machin: 16 arctan(1/5) - 4 arctan(1/239)."""

    def arctan_inverse(n: int) -> Decimal:
        total = term = Decimal(1) / n
        k = 1
        while abs(term) > Decimal("1e-410"):
            term = -term / (n * n)
            k += 2
            total += term / k
        return total

    with localcontext(CONTEXT):
        return 16 * arctan_inverse(5) - 4 * arctan_inverse(239)


PI = pi()


def phi(x: Decimal) -> Decimal:
    """The normal distribution function, from the Taylor series of erf at 0."""
    with localcontext(CONTEXT):
        term = total = x
        n = 0
        while abs(term) > Decimal("1e-380"):
            n += 1
            term *= -x * x / (2 * n)
            total += term / (2 * n + 1)
        return Decimal("0.5") + total / (2 * PI).sqrt()


def delta(epsilon: float, mu: float) -> Decimal:
    """Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu)."""
    with localcontext(CONTEXT):
        eps, ratio = Decimal(epsilon), Decimal(mu)
        left, right = ratio / 2 - eps / ratio, -ratio / 2 - eps / ratio
        return phi(left) - eps.exp() * phi(right)


def epsilon_at(order: Decimal, rho: float, delta: float) -> Decimal:
    """The conversion at one order a."""
    a, slack = order, Decimal(delta)
    return Decimal(rho) * a + (1 / slack).ln() / (a - 1) + (1 - 1 / a).ln() - a.ln() / (a - 1)


def epsilon_of(rho: float, delta: float) -> Decimal:
    """Its minimum over a > 1, by ternary search in ln(a - 1), to 50 digits of the value."""
    with localcontext(Context(prec=90)):
        low, high = Decimal(-40), Decimal(700)
        while high - low > Decimal("1e-27"):
            third = (high - low) / 3
            left, right = low + third, high - third
            if epsilon_at(1 + left.exp(), rho, delta) < epsilon_at(1 + right.exp(), rho, delta):
                high = right
            else:
                low = left
        return epsilon_at(1 + low.exp(), rho, delta)
