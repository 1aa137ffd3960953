"""What a certificate says of the files and heads of the model: none is left out."""

from __future__ import annotations

import re
from functools import lru_cache

from mbd.certificate.shared_parts import once
from mbd.certificate.statement import Guarantee, Predicate, Statement, few_heads, manifest_digest
from mbd.certificate.wording import is_retrained
from mbd.errors import DataError
from mbd.values import parse_availability

POLICY_FILE = "policy.json"
_CORE_FILES = {"core.json", "core.safetensors"}
_OTHER_FILES = {POLICY_FILE, *_CORE_FILES}
_HEAD_FILE = re.compile(r"heads/([^/]+)\.safetensors")


@lru_cache(maxsize=512)  # paths are short, and those of all models much alike
def _head_of(path: str) -> str | None:
    """The head that a file of the model holds, if it holds one."""
    found = _HEAD_FILE.fullmatch(path)
    return found[1] if found else None


def check_model(statement: Statement) -> None:
    """Subject, digest and root over the files agree; the policy among them is the logged one."""
    model = statement.predicate.deletion.model_after
    if statement.subject[0].digest.sha256 != model.digest:
        raise DataError("subject[0] is not the digest of modelAfter", code="model.subject")
    if manifest_digest(model.files) != model.digest:
        raise DataError("modelAfter.digest is not the root over its files", code="model.digest")
    files = {file.path: file.sha256 for file in model.files}
    for path in files:
        if path not in _OTHER_FILES and _head_of(path) is None:
            raise DataError(f"{path[:100]} is no part of a model", code="model.file")
    if POLICY_FILE not in files:
        raise DataError(f"a model without {POLICY_FILE}", code="model.policy")
    if files[POLICY_FILE] != statement.predicate.guarantee.policy_entry.digest:
        raise DataError("policyEntry is of another policy than the model's", code="policy.digest")


def check_heads(predicate: Predicate) -> None:
    """No head is left out: of the model, of those that read a revoked modality, of parameters."""
    _check_head_files(predicate)
    _check_selected(predicate.guarantee, predicate.deletion.modalities)


@once(few_heads)
def _check_selected(guarantee: Guarantee, modalities: tuple[str, ...]) -> None:
    selected = guarantee.selected_heads
    if not set(selected) <= set(guarantee.heads):
        raise DataError("selectedHeads names a head that the model lacks", code="heads.unknown")
    inputs = {head: parse_availability(head) for head in guarantee.heads}
    revoked = set(modalities)
    for modality in sorted(revoked.difference(*inputs.values())):
        raise DataError(f"no head of the model reads {modality}", code="heads.modality")
    retrained = is_retrained(guarantee)
    touched = tuple(head for head, names in inputs.items() if names & revoked or retrained)
    nothing_to_do = guarantee.guarantee_class == "exact" and not selected and not retrained
    if selected != touched and not nothing_to_do:
        which = "all heads" if retrained else "the heads with a revoked modality"
        raise DataError(
            f"selected {list(selected)}, but {which} are {list(touched)}", code="heads.incomplete"
        )
    if guarantee.guarantee_class != "certified":
        return
    if tuple(item.head for item in guarantee.parameters) != selected:
        raise DataError("want one parameters object per selected head", code="heads.incomplete")


def _check_head_files(predicate: Predicate) -> None:
    paths = [file.path for file in predicate.deletion.model_after.files]
    found = set(map(_head_of, paths)) - {None}
    if found != set(predicate.guarantee.heads):
        other = sorted(filter(None, found ^ set(predicate.guarantee.heads)))
        raise DataError(
            f"heads and the files of the model differ by {', '.join(other)[:200]}",
            code="heads.files",
        )
