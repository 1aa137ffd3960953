"""What a certificate claims in words, and whether a reader must believe it or can redo it.

`asserted` is the issuer's word; `checked` and `measured` were done by the issuer's program in
this run; `reproducible` can be redone by whoever has the retained data or the constants.
What is claimed follows from the rest of the certificate, so the verifier asks for exactly it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mbd.values import GuaranteeClass


@dataclass(frozen=True)
class ClaimWords:
    """One sentence of the registry, and how far it can be trusted."""

    status: str
    text: str


REGISTRY: dict[str, ClaimWords] = {
    "state-subtracted": ClaimWords(
        "reproducible",
        "The state that stateAfter commits to equals a state built from scratch on the "
        "retained prepared rows.",
    ),
    "provenance": ClaimWords(
        "asserted",
        "Everything in the model but the heads was computed without the revoked modalities of "
        "this subject: so it is declared, nothing in this certificate shows it.",
    ),
    "privacy-arithmetic": ClaimWords(
        "reproducible", "rho and epsilon follow from the stated constants alone."
    ),
    "near-optimum": ClaimWords(
        "checked",
        "Before the noise, each released head had a gradient residual of at most its "
        "tolerance; the bound was evaluated exactly and rounded up.",
    ),
    "noise": ClaimWords(
        "asserted",
        "Noise was drawn from the operating system's entropy as often as attempts says, "
        "and no head was kept or shown without it.",
    ),
    "recomputed": ClaimWords(
        "reproducible",
        "The selected heads follow from that state by a fixed program, without noise.",
    ),
    "retrained": ClaimWords(
        "reproducible",
        "Training again by the recipe and under the training id that the policy holds, on the "
        "records retained when this was issued, with the same build on the same machine, gives "
        "every file of this model.",
    ),
    "others-untouched": ClaimWords(
        "asserted",
        "The heads that this request did not select are bit for bit what they were, but for those "
        "that another request carried out together with it selected.",
    ),
    "erased": ClaimWords(
        "measured",
        "The stores listed were treated as stated, then searched for the erased values as far "
        "as the listing says.",
    ),
}
"""Every claim that a certificate may make, by its id."""


def claims_for(
    guarantee_class: GuaranteeClass, *, replaced: bool, kept: bool, retrained: bool
) -> tuple[str, ...]:
    """Ids of the claims of a certificate, in their order.

    Args:
        guarantee_class: Its class.
        replaced: Whether a head was replaced.
        kept: Whether a head was not.
        retrained: Whether the whole model was trained again.
    """
    claims = ["state-subtracted", "provenance"]
    if guarantee_class == "certified":
        claims += ["privacy-arithmetic", "near-optimum", "noise"]
    if retrained:
        claims.append("retrained")
    if guarantee_class == "exact" and replaced:
        claims.append("recomputed")
    if kept:
        claims.append("others-untouched")
    return (*claims, "erased")
