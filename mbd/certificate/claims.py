"""What a certificate claims in words, and whether a reader must believe it or can redo it.

`asserted` is the issuer's word; `checked` and `measured` were done by the issuer's program in
this run; `reproducible` can be redone by whoever has the retained data or the constants.
"""

from __future__ import annotations

from mbd.values import DeletionOutcome


def claims_of(outcome: DeletionOutcome) -> list[dict[str, str]]:
    """The claims of a certificate, as its JSON holds them."""
    claims = [
        _claim(
            "state-subtracted",
            "reproducible",
            "The state that stateAfter commits to equals a state built from scratch on the "
            "retained prepared rows.",
        ),
        _claim(
            "provenance",
            "asserted",
            "Everything in the model but the heads was computed without this subject's data.",
        ),
        *_class_claims(outcome),
    ]
    if set(outcome.selected_heads) != set(outcome.all_heads):
        claims.append(
            _claim(
                "others-untouched",
                "checked",
                "The heads that this request did not select are bit for bit what they were.",
            )
        )
    if outcome.stores:
        claims.append(
            _claim(
                "erased",
                "measured",
                "The stores listed were rewritten without the data, then scanned for its values.",
            )
        )
    return claims


def _class_claims(outcome: DeletionOutcome) -> list[dict[str, str]]:
    if outcome.guarantee_class == "certified":
        return [
            _claim(
                "privacy-arithmetic",
                "reproducible",
                "rho and epsilon follow from the stated constants alone.",
            ),
            _claim(
                "near-optimum",
                "checked",
                "Before the noise, each released head had a gradient residual of at most its "
                "tolerance; the bound was evaluated exactly and rounded up.",
            ),
            _claim(
                "noise",
                "asserted",
                "Noise was drawn from the operating system's entropy as often as attempts says, "
                "and no head was kept or shown without it.",
            ),
        ]
    if outcome.guarantee_class == "exact":
        return [
            _claim(
                "recomputed",
                "reproducible",
                "The heads that the rows reached follow from that state by a fixed program.",
            )
        ]
    return []


def _claim(name: str, status: str, text: str) -> dict[str, str]:
    return {"id": name, "status": status, "text": text}
