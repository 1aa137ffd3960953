"""The policy inside a released model, as far as a certificate can be held against it.

Only the fields named here are read; the ledger binds the bytes of all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from pydantic.alias_generators import to_camel

from mbd.canonical.json import MAX_MARKS, loads_strict
from mbd.errors import DataError
from mbd.verify.case import CheckFailed, Undecided

MAX_POLICY_BYTES = 1 << 26
_MANY_ERRORS = 1000
_FAMILY = "urn:mbd:policy:"
_SCHEMA = _FAMILY + "v1"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=1)]
Names = Annotated[tuple[str, ...], Field(strict=False), FailFast()]


class _Part(BaseModel):
    """Strict in what it reads, silent about the rest."""

    model_config = ConfigDict(strict=True, frozen=True)


class Scale(_Part):
    """Units of a head; only lambda concerns a certificate."""

    strong_convexity: Positive


class Constants(_Part):
    """What training fixed for one head."""

    head: str
    dimension: Size
    outputs: Size
    scale: Scale
    sigma: Positive
    grid: Positive


class PolicyHead(_Part):
    """One head of the policy."""

    constants: Constants


class PolicyModality(_Part):
    """One input channel, and what it was computed from."""

    model_config = ConfigDict(strict=True, frozen=True, alias_generator=to_camel)
    name: str
    derived_from: Names


class PolicyDataset(_Part):
    """The channels of the data set, and those that its labels were made from."""

    model_config = ConfigDict(strict=True, frozen=True, alias_generator=to_camel)
    label_derived_from: Names
    modalities: Annotated[tuple[PolicyModality, ...], Field(strict=False), FailFast()]


class Block(_Part):
    """What a block of the model was computed from, as it is declared."""

    name: str
    kind: str
    cohorts: Names
    modalities: Names


class ModelPolicy(_Part):
    """The policy of a model."""

    dataset: PolicyDataset
    heads: dict[str, PolicyHead]
    provenance: Annotated[tuple[Block, ...], Field(strict=False), FailFast()]
    recipe: dict[str, Any] | None = None
    """How to train again, if it says."""

    def cascade(self, modalities: Iterable[str]) -> frozenset[str]:
        """These modalities with everything that was computed from them."""
        reached = set(modalities)
        while True:
            derived = {
                one.name for one in self.dataset.modalities if reached & set(one.derived_from)
            }
            if derived <= reached:
                return frozenset(reached)
            reached |= derived


def parse_policy(content: bytes) -> ModelPolicy:
    """Read a policy.

    Raises:
        Undecided: A version that is not known here (`policy.version`).
        CheckFailed: Not a policy (`policy.invalid`).
    """
    try:
        found = loads_strict(
            content,
            max_bytes=MAX_POLICY_BYTES,
            max_depth=16,
            max_marks=max(MAX_MARKS, len(content) // 4),
            allow_floats=True,
        )
        schema = found.get("schema") if isinstance(found, dict) else None
        if isinstance(schema, str) and schema.startswith(_FAMILY) and schema != _SCHEMA:
            raise Undecided(f"a policy of schema {schema[:60]!r}", code="policy.version")
        if schema != _SCHEMA:
            raise CheckFailed("policy: not a policy of a model", code="policy.invalid")
        return ModelPolicy.model_validate(found)
    except DataError as error:
        raise CheckFailed(f"policy: {error.message}", code="policy.invalid") from error
    except ValidationError as error:
        if error.error_count() > _MANY_ERRORS:  # do not list them all
            raise CheckFailed("policy: not a policy of a model", code="policy.invalid") from None
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise CheckFailed(f"policy: {first['msg']} at {field}", code="policy.invalid") from error
