"""The theorems a certificate may name, and the only words it may use for them.

A certificate repeats the wording of its theorem and the verifier compares it with this
registry: an issuer cannot promise more than the theorem does, nor leave out what it does not
cover. A wording never changes under its id; a better one gets a new id.
"""

from __future__ import annotations

from dataclasses import dataclass

from mbd.values import GuaranteeClass


@dataclass(frozen=True)
class Wording:
    """What a reader of the certificate is told, beside the numbers."""

    comparator: str
    neighbouring: str
    arithmetic: str
    not_covered: tuple[str, ...]


@dataclass(frozen=True)
class Theorem:
    """A statement with a source that a class of guarantee rests on."""

    id: str
    guarantee_class: GuaranteeClass
    statement: str
    citation: str
    wording: Wording


_NEIGHBOURING = (
    "Two worlds: the records as they were, and the same records with the revoked modalities of "
    "this subject absent from every one of them. Everything else of the subject stays in both."
)

_NOT_COVERED = (
    "Releases of the model made before this one: they contain the revoked modalities, and "
    "comparing one of them with this release shows what changed.",
    "Copies of earlier releases or of the data, wherever they are.",
    "Data, decisions and requests by people or programs that reacted to earlier releases.",
    "Other records that depict the subject.",
    "Labels given by people who perceived the revoked modalities.",
    "That there was a request: the existence of this certificate reveals it.",
)

_OTHER_PARTS = (
    "Heads that never saw the revoked modalities: they stay as they are, and may have learned from "
    "what else this subject gave.",
    "Everything in the model but the heads: it is declared to have been computed without the "
    "revoked modalities of this subject.",
)

SURGICAL = Theorem(
    id="urn:mbd:theorem:surgical-release:v1",
    guarantee_class="certified",
    statement=(
        "For each released head the objective is lambda-strongly convex and depends on the "
        "records through the state alone, so a head whose gradient residual has Frobenius norm "
        "at most tau lies within tau / lambda of the unique minimiser. Two runs with the same "
        "state therefore differ, before noise, by at most Delta = 2 tau / lambda in L2, on the "
        "grid. Adding grid times an integer discrete Gaussian of standard deviation sigma / grid "
        "to every coordinate makes the release rho-zCDP with rho = sum over released heads of "
        "Delta^2 / (2 sigma^2), times the number of attempts; rho-zCDP implies (epsilon, delta)."
    ),
    citation=(
        "Strong convexity: Nesterov 2018, Lectures on Convex Optimization, section 2.1.3. "
        "Discrete Gaussian: Canonne, Kamath, Steinke 2020, arXiv:2004.00010, theorem 4 and "
        "corollary 13. Composition: Bun, Steinke 2016, arXiv:1605.02065, lemma 1.7."
    ),
    wording=Wording(
        comparator=(
            "The probability law of the heads released by this request, beside the law of the "
            "heads that the same program releases, with fresh noise, for an empty request on "
            "records, earlier events and an order of events that are equal except that the "
            "revoked modalities of this subject are absent. The two laws are rho-zCDP close in "
            "both directions, hence (epsilon, delta) close, whatever the heads before were."
        ),
        neighbouring=_NEIGHBOURING,
        arithmetic=(
            "Prepared rows are int16 and the state int64, added and subtracted exactly. "
            "Residuals are bounded from above by exact integer arithmetic. Heads lie on a "
            "power-of-two grid; the noise is an integer discrete Gaussian from the operating "
            "system's entropy. Sensitivity, rho and epsilon are rounded up."
        ),
        not_covered=_NOT_COVERED + _OTHER_PARTS,
    ),
)

EXACT = Theorem(
    id="urn:mbd:theorem:exact-subtraction:v1",
    guarantee_class="exact",
    statement=(
        "Integer addition is associative and subtraction its exact inverse, so the state after "
        "subtracting a subject's rows is, bit for bit, the state of a system that never added "
        "them. Heads computed from the state alone by a deterministic program are then equal too."
    ),
    citation="Arithmetic of the integers; the state is sum q q^T, sum q t^T and a row count.",
    wording=Wording(
        comparator=(
            "The heads selected by this request are, bit for bit, what the same build of the "
            "program computes from the state of a system that never saw the revoked modalities "
            "of this subject. This request changes no head that it does not select, and nothing "
            "if it selects none: what another request changes together with it, and noise drawn "
            "earlier, come from states that never held the revoked modalities. This holds if the "
            "declared provenance is true and the arithmetic is as described."
        ),
        neighbouring=_NEIGHBOURING,
        arithmetic=(
            "Prepared rows are int16 and the state int64, added and subtracted exactly. The "
            "selected heads are solved from the state alone, by a fixed program, and no noise "
            "is added to them; other heads are not touched."
        ),
        not_covered=_NOT_COVERED + _OTHER_PARTS,
    ),
)

RETRAINING = Theorem(
    id="urn:mbd:theorem:exact-retraining:v1",
    guarantee_class="exact",
    statement=(
        "Training is a deterministic program. Its inputs are the records, a recipe of settings, "
        "and names drawn at random. Run on the records without the revoked modalities of this "
        "subject, it computes, bit for bit, what it computes from the same recipe and names "
        "where they never were: policy, core, prepared rows, state and heads."
    ),
    citation=(
        "Equal inputs of a deterministic program give equal outputs. Core training repeats on "
        "one machine: PyTorch documentation, Reproducibility."
    ),
    wording=Wording(
        comparator=(
            "Every file of the model released by this request is, bit for bit, what the same "
            "build of the program computes, on the same machine, by the recipe and under the "
            "training id in the policy, from records that are equal except that the revoked "
            "modalities of this subject are absent, and absent too what requests carried out "
            "before or together with it revoked. Of the model before it takes the recipe and "
            "nothing else. This holds if the declared provenance is true, the program "
            "deterministic and the arithmetic as described."
        ),
        neighbouring=_NEIGHBOURING,
        arithmetic=(
            "Scaling, core and choices are computed in floating point, by algorithms that repeat "
            "on one machine; another machine or build may give other bits. Prepared rows are "
            "int16 and the state int64, added exactly. All heads are solved from the state "
            "alone, by a fixed program, and no noise is added to them."
        ),
        not_covered=(
            *_NOT_COVERED,
            "The recipe: people chose its settings, who may have seen what earlier models did.",
            "Policies of earlier models: their digests stay in the ledger.",
        ),
    ),
)

EMPIRICAL = Wording(
    comparator=(
        "Measured attacks on the released model, beside the same attacks on a model trained "
        "without the revoked modalities of this subject. A failed attack bounds nothing."
    ),
    neighbouring=_NEIGHBOURING,
    arithmetic="Floating point.",
    not_covered=_NOT_COVERED,
)

THEOREMS = {theorem.id: theorem for theorem in (SURGICAL, EXACT, RETRAINING)}


def theorem_of(guarantee_class: GuaranteeClass, *, retrained: bool) -> Theorem | None:
    """The theorem that a new certificate of this class names; None where there is none.

    Args:
        guarantee_class: Its class.
        retrained: Whether the whole model was trained again.
    """
    exact = RETRAINING if retrained else EXACT
    return {"certified": SURGICAL, "exact": exact}.get(guarantee_class)


def wording_of(theorem_id: str | None) -> Wording:
    """The words that belong to a theorem of the registry, or to having none.

    Raises:
        KeyError: The registry of this version does not know the theorem.
    """
    return EMPIRICAL if theorem_id is None else THEOREMS[theorem_id].wording
