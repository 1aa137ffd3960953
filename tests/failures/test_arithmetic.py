"""Numbers that promised more than the mathematics did."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest

from mbd.canonical.json import dumps
from mbd.canonical.numbers import to_decimal
from mbd.certificate.bundle import parse_bundle
from mbd.privacy import gaussian
from mbd.privacy.accountant import account, tolerance_for
from mbd.privacy.zcdp import epsilon_of, rho_for, rho_of
from tests.certificate.samples import altered, head
from tests.verify.kinds import good
from tests.workspaces import TrainedWorkspace, must_run

DELTA = 1e-5


# --- the tolerance and epsilon -------------------------------------------------------------


def test_a_tolerance_that_grows_as_epsilon_shrinks(trained_workspace: TrainedWorkspace) -> None:
    """Elsewhere the accepted error was divided by epsilon: stronger promises, sloppier updates.

    Here the certificates of four real revocations say it: a smaller epsilon, a smaller tolerance.
    """
    tolerances = []
    for user, epsilon in zip(trained_workspace.revocable, ("8", "2", "1", "0.25"), strict=False):
        asked = ["revoke", "--user", user, "--modality", "audio", "--epsilon", epsilon, "--json"]
        done = must_run(trained_workspace.root, *asked).json
        statement = json.loads(_payload(Path(done["bundle"])))
        guarantee = statement["predicate"]["guarantee"]
        assert 0.9 * float(epsilon) < float(guarantee["epsilon"]) <= float(epsilon)
        tolerances.append([float(one["tolerance"]) for one in guarantee["parameters"]])

    assert len(tolerances) == 4
    for looser, tighter in pairwise(tolerances):
        assert all(one > other > 0 for one, other in zip(looser, tighter, strict=True))


def test_a_tolerance_that_grew_is_refused_by_the_verifier_too() -> None:
    """Signed and logged by the trusted issuer: half of epsilon for twice the tolerance."""
    found = good("certified")
    content = json.loads(found.payload)
    guarantee = content["predicate"]["guarantee"]
    for index, one in enumerate(guarantee["parameters"]):
        where = f"predicate.guarantee.parameters.{index}"
        content = altered(content, f"{where}.tolerance", to_decimal(2 * float(one["tolerance"])))
    content = altered(
        content, "predicate.guarantee.epsilon", to_decimal(float(guarantee["epsilon"]) / 2)
    )

    report = found.judge(found.signed_anew(dumps(content)))

    assert report.exit_code == 1
    assert report.first_failed is not None
    assert report.first_failed.code == "claim.sensitivity"


def _payload(bundle: Path) -> bytes:
    return parse_bundle(bundle.read_bytes()).envelope.payload


# --- the order of the Renyi divergence -----------------------------------------------------

START, CLIP, STEP, PULL, SIGMA, STEPS = 0.1, 10.0, 0.001, 50.0, 0.0772562962, 10
"""Radius of the first model and of the gradients, learning rate, L2 term, noise, iterations."""
CLAIMED, OWED = 1.0036, 6.573
"""Epsilon at delta 1e-5 that was claimed, and what the published bound gives."""


def noisy_fine_tuning() -> float:
    """The divergence of order a after noisy fine-tuning, divided by a: rho.

    Two runs begin at most 2 START apart; every step shrinks that by 1 - STEP PULL and adds at most
    2 STEP CLIP, for gradients are clipped. Noise of every step covers a part of what is left, in
    the proportions that cost least: the square of the whole over the sum of the squared weights.

    Source: Koloskova, Allouah, Jha, Guerraoui, Koyejo 2025, Certified Unlearning for Neural
    Networks, arXiv:2506.06985, gradient clipping with regularisation; privacy amplification by
    iteration, Feldman, Mironov, Talwar, Thakurta 2018, arXiv:1808.06651.
    """
    shrink = 1 - STEP * PULL
    apart = 2 * START * shrink**STEPS
    apart += sum(2 * STEP * CLIP * shrink**step for step in range(STEPS))
    weights = sum(shrink ** (2 * step) for step in range(STEPS))
    return rho_of(apart, SIGMA * math.sqrt(weights))


def ignoring_the_order(rho: float) -> float:
    """The mistake: the divergence at *every* order taken for its value at order one.

    Then the other terms of the conversion vanish as the order grows, and nothing else is left.
    """
    orders = [1.001 + step * 998.999 / 9999 for step in range(10_000)]
    return min(
        rho - (math.log(DELTA) + math.log(order)) / (order - 1) + math.log1p(-1 / order)
        for order in orders
    )


def test_an_accountant_that_ignored_the_renyi_order() -> None:
    """Elsewhere epsilon 1.0036 was claimed where the bound it cites gives 6.573."""
    rho = noisy_fine_tuning()
    assert rho == pytest.approx(1.0, rel=1e-8)

    assert ignoring_the_order(rho) == pytest.approx(CLAIMED, abs=1e-4)
    exact = gaussian.epsilon(DELTA, math.sqrt(2 * rho))
    assert exact == pytest.approx(OWED, abs=1e-3)
    assert epsilon_of(rho, DELTA) >= exact > 6 * CLAIMED


@pytest.mark.parametrize("order", [1.5, 2.0, 8.0, 64.0, 1000.0])
def test_any_one_order_gives_at_least_the_epsilon_that_is_claimed(order: float) -> None:
    """With the order in its place, no choice of it claims less than the best one."""
    for rho in (1e-4, 0.024355970, 1.0, 10.0):
        rest = (math.log(1 / DELTA) - math.log(order)) / (order - 1)
        at_order = rho * order + rest + math.log1p(-1 / order)
        assert epsilon_of(rho, DELTA) <= max(0.0, at_order) * (1 + 1e-12)


def test_a_certificate_with_the_epsilon_of_that_accountant_is_refused() -> None:
    """The same rho, for a head of ours: nobody can be made to believe the smaller number."""
    found = good("certified")
    content = json.loads(found.payload)
    sigma = 2.0**-13
    sensitivity = sigma  # rho of one half for each of two heads
    tolerance = tolerance_for(sensitivity, 0.25)
    for index in range(2):
        where = f"predicate.guarantee.parameters.{index}"
        content = altered(content, f"{where}.tolerance", to_decimal(tolerance))
        content = altered(content, f"{where}.sensitivity", to_decimal(sensitivity))
    loss = account(
        [head(name, tolerance=tolerance, sensitivity=sensitivity, sigma=sigma) for name in "ab"],
        DELTA,
    )
    assert loss.rho == 1.0
    stated = {"rho": "1", "delta": to_decimal(DELTA)}
    for name, value in stated.items():
        content = altered(content, f"predicate.guarantee.{name}", value)

    def judged(epsilon: float) -> str:
        bent = altered(content, "predicate.guarantee.epsilon", to_decimal(epsilon))
        report = found.judge(found.signed_anew(dumps(bent)))
        return report.first_failed.code if report.first_failed else report.verdict

    assert judged(loss.epsilon) == "valid"
    assert judged(math.nextafter(loss.epsilon, 0)) == "claim.epsilon"
    for less in (CLAIMED, OWED, ignoring_the_order(1.0)):
        assert judged(less) == "claim.epsilon"


def test_a_budget_of_that_accountant_would_be_six_times_ours() -> None:
    """Where epsilon is given, the mistake shows as too little noise."""
    assert rho_for(CLAIMED, DELTA) < 1 / 25
