"""The policy inside a released model, as far as a certificate can be held against it.

The ledger binds the bytes of all of it. Its form is closed: a member that the format does not know,
or another way of writing the same, would be a place to keep something in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from pydantic.alias_generators import to_camel

from mbd.canonical.json import MAX_MARKS, dumps, loads_strict
from mbd.errors import DataError
from mbd.verify.case import CheckFailed, Undecided

MAX_POLICY_BYTES = 1 << 26
_MANY_ERRORS = 1000
_FAMILY = "urn:mbd:policy:"
_SCHEMA = _FAMILY + "v1"
_SETTINGS = (("recipe", "network"), ("recipe", "heads"))
"""Members of a policy that say by which settings to train."""

NetworkSetting = Literal[
    "hidden",
    "property_width",
    "activations",
    "dropout",
    "epochs",
    "patience",
    "batch_size",
    "precision",
    "learning_rate",
    "weight_decay",
    "keep",
    "reconstruction",
    "prototype",
    "consistency",
]
FormerSetting = Literal["properties"]
"""Of policies that an earlier version wrote: one weight for three terms, of which one is left."""
HeadSetting = Literal["width", "frequency_std", "planned_rows", "noise", "strong_convexity"]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Names = Annotated[tuple[str, ...], Field(strict=False), FailFast()]
Numbers = Annotated[tuple[Finite, ...], Field(strict=False), FailFast()]
Range = Annotated[tuple[Finite, Finite], Field(strict=False)]


class _Part(BaseModel):
    """Strict, and closed."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _Camel(_Part):
    """The same for a part whose members are written in camel case."""

    model_config = ConfigDict(alias_generator=to_camel)


class Scale(_Part):
    """Units of a head; only lambda concerns a certificate."""

    feature_bits: Count = 0
    target_bits: Count = 0
    strong_convexity: Positive


class Constants(_Part):
    """What training fixed for one head."""

    head: str
    dimension: Size
    outputs: Size
    scale: Scale
    sigma: Positive
    grid: Positive


class Features(_Part):
    """How the rows of a head are made."""

    inputs: Size
    width: Size
    frequency_std: Positive
    clip: Positive
    amplitude: Size
    linear_shift: Count
    seed: str


class PolicyHead(_Camel):
    """One head of the policy."""

    constants: Constants
    feature_map: Features | None = None


class PolicyModality(_Camel):
    """One input channel, and what it was computed from."""

    name: str
    width: Size = 1
    max_length: Size = 1
    range: Range | None = None
    derived_from: Names


class PolicyTask(_Camel):
    """What the labels are."""

    kind: str
    label_range: Range | None
    classes: Names


class PolicyCohort(_Part):
    """Who belongs to a cohort: these, or a share of all."""

    subjects: Names = ()
    fraction: Finite | None = None
    seed: int | None = None


class PolicyDataset(_Camel):
    """The channels of the data set, and those that its labels were made from."""

    name: str = ""
    task: PolicyTask | None = None
    cohorts: dict[Literal["foundation", "calibration"], PolicyCohort] = {}
    label_derived_from: Names
    modalities: Annotated[tuple[PolicyModality, ...], Field(strict=False), FailFast()]


class Block(_Part):
    """What a block of the model was computed from, as it is declared."""

    name: str
    kind: str
    cohorts: Names
    modalities: Names


class Moments(_Part):
    """Mean and standard deviation of each feature."""

    mean: Numbers
    std: Numbers


class PolicyScaler(_Part):
    """How the features of a channel are standardised."""

    steps: Moments
    pooled: Moments | None
    weights: Numbers


class PolicyRecipe(_Part):
    """How to train again; a setting that is not named has its default."""

    core: str
    seed: int
    device: str
    network: dict[NetworkSetting | FormerSetting, Finite | Literal["float32", "bf16"]]
    heads: dict[HeadSetting, Finite | Literal["auto"]]
    epsilon: Positive
    delta: Positive


class ModelPolicy(_Camel):
    """The policy of a model. What does not concern a certificate may be missing here."""

    schema_: Annotated[Literal["urn:mbd:policy:v1"], Field(alias="schema")]
    training_id: str = ""
    dataset: PolicyDataset
    core: Literal["trained", "none"] = "none"
    core_digest: str | None = None
    """Names the core; null without one."""
    seed: int = 0
    scaler: dict[str, PolicyScaler] = {}
    base: Numbers = ()
    heads: dict[str, PolicyHead]
    provenance: Annotated[tuple[Block, ...], Field(strict=False), FailFast()]
    planned_rows: Size = 1
    default_epsilon: Positive = 1
    default_delta: Positive = 1
    recipe: PolicyRecipe | None = None
    """How to train again; policies of an earlier version do not say."""

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
        policy = ModelPolicy.model_validate(found)
        if dumps(found) != content:
            raise CheckFailed("policy: not written canonically", code="policy.invalid")
        return policy
    except DataError as error:
        raise CheckFailed(f"policy: {error.message}", code="policy.invalid") from error
    except ValidationError as error:
        if error.error_count() > _MANY_ERRORS:  # do not list them all
            raise CheckFailed("policy: not a policy of a model", code="policy.invalid") from None
        found = error.errors(include_url=False, include_input=False)
        if all(one["loc"][:2] in _SETTINGS for one in found):  # newer programs have more of them
            named = ".".join(str(part) for part in found[0]["loc"][:3])
            raise Undecided(f"not known here: {named[:100]}", code="policy.version") from error
        first = found[0]
        field = ".".join(str(part) for part in first["loc"])
        raise CheckFailed(f"policy: {first['msg']} at {field}", code="policy.invalid") from error
