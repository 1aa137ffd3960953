"""Frozen values shared by the learning half and the evidence half: names and plain numbers.

Nothing here holds a tensor, a path or a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from mbd.errors import DataError

Cohort = Literal["foundation", "calibration", "revocable"]
COHORTS: tuple[Cohort, ...] = ("foundation", "calibration", "revocable")

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")

MAX_DELTA = 0.01
"""Largest delta of a certified release: with that probability nothing at all is promised."""

GuaranteeClass = Literal["certified", "exact", "empirical", "none"]

Availability = frozenset[str]
"""The modalities a record has, after revocations."""

_MODALITY = re.compile(r"[a-z][a-z0-9_]{0,31}")


def check_modality_name(name: str) -> str:
    """Return `name` if it can name a modality: lower case, digits, underscore; at most 32."""
    if not _MODALITY.fullmatch(name):
        raise DataError(
            f"modality name {name!r}: want a lower-case letter, then letters, digits, _ (max 32)",
            field="modalities",
        )
    return name


def availability_name(available: Iterable[str]) -> str:
    """Canonical name of an availability: its modalities, sorted, joined by '+'."""
    return "+".join(sorted(available))


def parse_availability(name: str) -> Availability:
    """Inverse of `availability_name`."""
    return frozenset(check_modality_name(part) for part in name.split("+"))


def nonempty_subsets(modalities: Iterable[str]) -> Iterator[Availability]:
    """Every non-empty subset, small ones first, each size in sorted order."""
    names = sorted(modalities)
    for size in range(1, len(names) + 1):
        for chosen in combinations(names, size):
            yield frozenset(chosen)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the model predicts."""

    kind: Literal["regression", "classification"]
    label_range: tuple[float, float] | None = None
    """Inclusive range of a regression label, in label units; None for classes."""
    classes: tuple[str, ...] = ()
    """Class names in the order of their indices; empty for regression."""

    @property
    def outputs(self) -> int:
        """K: one number, or one score per class."""
        return 1 if self.kind == "regression" else len(self.classes)

    @property
    def range_width(self) -> float:
        """Width of the label range; scores of classes live in [0, 1]."""
        if self.label_range is None:
            return 1.0
        low, high = self.label_range
        return high - low


@dataclass(frozen=True, kw_only=True)
class ModalityInfo:
    """One input channel as the data set declares it."""

    name: str
    width: int
    """D: features per step."""
    max_length: int
    """Longest sequence held, in steps; 1 for a vector per record."""
    range: tuple[float, float] | None = None
    """Declared range of every feature, if the spec gives one."""
    derived_from: tuple[str, ...] = ()
    """Modalities that this one was computed from (a transcript from the voice)."""


@dataclass(frozen=True, kw_only=True)
class HeadParameters:
    """Everything a verifier needs to recompute what one head adds to the privacy loss.

    Numbers are Python floats that equal the decimal strings of the certificate.
    """

    head: str
    """Canonical availability name, e.g. 'audio+text'."""
    dimension: int
    """d: features per row."""
    outputs: int
    """K: columns."""
    strong_convexity: float
    """lambda: the objective is lambda-strongly convex."""
    tolerance: float
    """tau: the Frobenius norm of the gradient residual is at most this."""
    sensitivity: float
    """Delta = 2 tau / lambda, rounded up."""
    sigma: float
    """Absolute standard deviation of the noise on every coordinate."""
    grid: float
    """g: the release lives on integer multiples of this power of two."""


@dataclass(frozen=True, kw_only=True)
class FileDigest:
    """One file of a model: its path inside the model folder and its SHA-256 (hex)."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class DeletionOutcome:
    """The hinge between learning and evidence: what a deletion did, in plain numbers.

    Digests of personal data (`dataset_*`, `state_after`, `deleted_set`) never reach a
    certificate as they are: the issuer commits to them under fresh salts.
    """

    guarantee_class: GuaranteeClass
    modalities: tuple[str, ...]
    """The revoked modalities, sorted."""
    heads: tuple[HeadParameters, ...]
    """The selected heads in the order of their names; empty for an exact release."""
    selected_heads: tuple[str, ...]
    """Names of all heads that the deletion replaced."""
    all_heads: tuple[str, ...]
    """Names of all heads of the model."""
    model_after: tuple[FileDigest, ...]
    dataset_before: str
    dataset_after: str
    state_after: str
    deleted_set: str
    attempts: int
    """How many times noise was drawn from this pre-state; rho composes over them."""
    stores: tuple[dict[str, str], ...]
    """What was erased where: {store, action, scan}."""
    out_of_scope: tuple[dict[str, str], ...]
    """What erasure cannot reach: {what, reason}."""
    retrained: bool = False
    """Whether the whole model was trained again without the data; then all heads are selected."""
