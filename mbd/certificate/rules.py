"""What a statement must fulfil beyond its form: the issuer and the verifier ask the same.

Each rule raises a DataError with a stable code; nothing is returned.
"""

from __future__ import annotations

from mbd.certificate.days import check_order
from mbd.certificate.guarantee_class import check_class
from mbd.certificate.model_parts import check_heads, check_model
from mbd.certificate.privacy_claim import check_privacy
from mbd.certificate.statement import Statement
from mbd.certificate.wording import check_wording, check_words


def check_class_rules(statement: Statement) -> None:
    """Every rule, in order; the first that does not hold is raised."""
    check_model(statement)
    check_class(statement.predicate)
    check_words(statement.predicate)
    check_wording(statement.predicate.guarantee)
    check_heads(statement.predicate)
    check_privacy(statement.predicate.guarantee)
    check_order(statement.predicate)
