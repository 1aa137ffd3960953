"""Is the certificate's model the one that was announced, the one in service, and the only one?"""

from __future__ import annotations

from typing import NoReturn

from mbd.certificate.statement import Predicate
from mbd.verify.case import CheckFailed, Undecided
from mbd.verify.model_files import file_digest
from mbd.workflows.reproduce.doubts import Doubts, changing, more
from mbd.workflows.reproduce.files import reading
from mbd.workflows.reproduce.released import ReleasedFiles


def check_announced(predicate: Predicate, doubts: Doubts) -> str | None:
    """The log holds the policy where the certificate says.

    Returns:
        Why the log cannot be asked, or None. A copy without a ledger refutes nothing.
    """
    stated = predicate.guarantee.policy_entry
    try:
        announced = doubts.history.announced
    except Undecided as error:
        return error.message
    if not announced:
        why = f"entry {stated.index} of the log does not announce the policy of the model"
        raise CheckFailed(why, code="reproduce.policy")
    return None


def refuse_model(why: str, predicate: Predicate, doubts: Doubts) -> NoReturn:
    """Say what it means that files of the certificate's model are not here as it lists them.

    Only another model in service, all of it here, is a lie: one whose file is gone, or has other
    bits than the workspace itself says, was copied badly.

    Raises:
        CheckFailed: Another model is in service, and nothing later can be the reason.
        Undecided: Something can, or files are missing or torn.
    """
    doubts.weigh(why, changing)
    current = doubts.history.in_service
    if current is None or current.digest == predicate.deletion.model_after.digest:
        raise Undecided(f"{why}: missing, or torn", code="reproduce.incomplete")
    with reading(current.folder):
        torn = [
            file.path
            for file in current.files
            if file_digest(current.folder, file.path) != file.sha256
        ]
    if torn:
        where = f"models/{current.model_id}/{torn[0]}"
        raise Undecided(f"{why}, and {where} is missing, or torn", code="reproduce.incomplete")
    raise CheckFailed(f"{why}; model {current.model_id} is in service", code="reproduce.model")


def check_service(
    predicate: Predicate, released: ReleasedFiles, doubts: Doubts, unasked: str | None
) -> str:
    """The model in service is the certificate's, and no other one is kept; in words.

    Which one is in service is the word of a table that nobody signed: it can only incriminate.

    Args:
        predicate: The certificate.
        released: Its model, and those beside it.
        doubts: What the ledger says.
        unasked: Why the log cannot be asked, see `check_announced`.
    """
    current = None if unasked else doubts.history.in_service
    if current is not None and current.digest != predicate.deletion.model_after.digest:
        why = f"model {current.model_id} is in service, which is not the certificate's"
        doubts.refute("reproduce.in_service", why, changing)
    if released.others:
        raise Undecided(
            f"models/{released.others[0]} is not the certificate's model, but lies beside it"
            + more(released.others),
            code="reproduce.other_model",
        )
    if unasked is not None:
        return (
            "not checked: whether the log announced the policy, and which model is in "
            f"service ({unasked})"
        )
    if current is None:
        return "the log announced the policy; which model is in service is not said"
    return (
        f"the log announced the policy; model {current.model_id} is in service, says the database"
    )
