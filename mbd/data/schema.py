"""What a data set declares about itself: task, channels, who may be learned from how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mbd.data.cohorts import CohortRule, CohortRules
from mbd.errors import DataError, NotFoundError
from mbd.values import ModalityInfo, Task, check_modality_name

LABEL = "label"
"""The name under which `derived_from` speaks of the labels; no modality may have it."""


@dataclass(frozen=True, kw_only=True)
class DatasetSchema:
    """Names, shapes and rules of a data set.

    Raises:
        DataError: No modality, one twice, or `derived_from` names an unknown one.
    """

    name: str
    task: Task
    modalities: tuple[ModalityInfo, ...]
    """Sorted by name."""
    cohorts: CohortRules = field(default_factory=CohortRules)
    label_derived_from: tuple[str, ...] = ()
    """Modalities that the people who gave the labels perceived."""

    def __post_init__(self) -> None:
        names = [info.name for info in self.modalities]
        if not names or names != sorted(set(names)):
            raise DataError("want at least one modality, sorted, each once", field="modalities")
        for name in names:
            if check_modality_name(name) == LABEL:
                raise DataError(f"{LABEL!r} cannot name a modality", field="modalities")
        sources = {info.name: info.derived_from for info in self.modalities}
        for target, derived in {**sources, LABEL: self.label_derived_from}.items():
            for source in derived:
                if source not in sources or source == target:
                    raise DataError(
                        f"{target} cannot be derived from {source!r}",
                        field=f"derived_from.{target}",
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """Modality names, sorted."""
        return tuple(info.name for info in self.modalities)

    def modality(self, name: str) -> ModalityInfo:
        """One modality.

        Raises:
            NotFoundError: The data set does not have it.
        """
        for info in self.modalities:
            if info.name == name:
                return info
        raise NotFoundError(
            f"no modality {name!r}; this data set has {', '.join(self.names)}", field="modality"
        )

    def cascade(self, modalities: Iterable[str]) -> tuple[str, ...]:
        """`modalities` and everything computed from them, directly or not, sorted."""
        reached = {self.modality(name).name for name in modalities}
        while True:
            more = {m.name for m in self.modalities if reached & set(m.derived_from)} - reached
            if not more:
                return tuple(sorted(reached))
            reached |= more

    def to_json(self) -> dict[str, Any]:
        """JSON form, as kept in the manifest of the store."""
        rules = {"foundation": self.cohorts.foundation, "calibration": self.cohorts.calibration}
        return {
            "name": self.name,
            "task": {
                "kind": self.task.kind,
                "labelRange": list(self.task.label_range) if self.task.label_range else None,
                "classes": list(self.task.classes),
            },
            "modalities": [_modality_json(info) for info in self.modalities],
            "cohorts": {name: rule.to_json() for name, rule in rules.items() if rule is not None},
            "labelDerivedFrom": list(self.label_derived_from),
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> DatasetSchema:
        """Inverse of `to_json`."""
        task = value["task"]
        rules = {name: CohortRule.from_json(rule) for name, rule in value["cohorts"].items()}
        return DatasetSchema(
            name=value["name"],
            task=Task(
                kind=task["kind"],
                label_range=_range(task["labelRange"]),
                classes=tuple(task["classes"]),
            ),
            modalities=tuple(_modality(info) for info in value["modalities"]),
            cohorts=CohortRules(**rules),
            label_derived_from=tuple(value["labelDerivedFrom"]),
        )


def _modality_json(info: ModalityInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "width": info.width,
        "maxLength": info.max_length,
        "range": list(info.range) if info.range else None,
        "derivedFrom": list(info.derived_from),
    }


def _modality(value: dict[str, Any]) -> ModalityInfo:
    return ModalityInfo(
        name=value["name"],
        width=value["width"],
        max_length=value["maxLength"],
        range=_range(value["range"]),
        derived_from=tuple(value["derivedFrom"]),
    )


def _range(value: list[float] | None) -> tuple[float, float] | None:
    return None if value is None else (float(value[0]), float(value[1]))
