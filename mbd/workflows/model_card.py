"""The model card of an export: what it is, what it learned from, how good it is, what it is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mbd.canonical.text import printable
from mbd.data.schema import DatasetSchema
from mbd.evaluation.outcome import Evaluation
from mbd.workflows.current import CurrentModel
from mbd.workflows.policy import Policy

_SHOWN = 4

_LIMITS = """\
- This folder is a copy. Whatever is revoked later changes the model of the service and not this
  one: before use, ask whether it is superseded (below). The service cannot take it back.
- It does not know who its input is of. Who predicts leaves out what that person revoked.
- A prediction is an estimate made from signals, no finding about what somebody feels. It was
  measured, if at all, on one data set; people, languages and recordings that differ from those
  were not tried. It is not meant for decisions about a person.
- A certificate is about the heads that its request released. No signature shows that copies
  elsewhere are gone, and without the retained data nobody can tell an honest engine from one
  that did nothing."""


@dataclass(frozen=True)
class Certified:
    """A certificate in the ledger since the model was designed."""

    certificate_id: str
    guarantee_class: str
    modalities: tuple[str, ...]
    logged_at: str


def model_card(
    model: CurrentModel,
    origin: str,
    exported_at: str,
    *,
    certificates: Sequence[Certified],
    evaluation: Evaluation | None,
) -> str:
    """The card in Markdown; it says nothing about individuals.

    Args:
        model: The model.
        origin: Name of the log of its service.
        exported_at: UTC.
        certificates: Those issued since the policy was logged.
        evaluation: Of this model; None: it was not measured.
    """
    policy, schema = model.policy, model.policy.schema
    return "\n".join(
        [
            f"# {printable(schema.name)}: {_task(schema)} from {', '.join(schema.names)}",
            "",
            f"Model `{model.snapshot.model_id}`, exported {exported_at} from the service whose "
            f"log is `{origin}`.",
            f"Digest of its files: `{model.snapshot.digest}`.",
            "Any combination of its channels may be absent.",
            "",
            "## Use",
            "",
            *_use(schema),
            "## Inputs",
            "",
            *_table(
                ("channel", "features per step", "derived from"),
                (
                    (one.name, one.width, ", ".join(one.derived_from) or "-")
                    for one in schema.modalities
                ),
            ),
            "## What it learned from",
            "",
            *_provenance(policy),
            "## How good it is",
            "",
            *_metrics(evaluation),
            "## Certificates",
            "",
            *_certificates(certificates),
            "## Limits",
            "",
            _LIMITS,
            "",
        ]
    )


def _task(schema: DatasetSchema) -> str:
    if schema.task.kind == "classification":
        return f"one of {', '.join(map(printable, schema.task.classes))}"
    if schema.task.label_range is None:
        return "a number"
    low, high = schema.task.label_range
    return f"a number between {low:g} and {high:g}"


def _use(schema: DatasetSchema) -> list[str]:
    arrays = ", ".join(f'"{name}": {name}' for name in schema.names)
    return [
        "```python",
        "from mbd import Model",
        "",
        'model = Model.from_pretrained("this/folder", ledger="path/of/the/workspace")',
        f"model.predict({{{arrays}}})  # each (steps, width) or (width,)",
        "```",
        "",
        "Elsewhere than at the service, give its newest certificate instead:",
        '`from_pretrained(..., certificates=["cert.json"], trust="trust.toml")`. A superseded',
        "model is refused unless `allow_superseded=True`; one about which nothing is known,",
        "unless `unchecked=True`.",
        "",
    ]


def _provenance(policy: Policy) -> list[str]:
    head_cohorts = {c for one in policy.provenance if one.kind == "head" for c in one.cohorts}
    rows = [
        (one.name, ", ".join(sorted(one.cohorts)) or "nobody", ", ".join(sorted(one.modalities)))
        for one in policy.provenance
        if one.kind != "head"
    ]
    rows.append(("heads", ", ".join(sorted(head_cohorts)), "each its own channels"))
    return [
        *_table(("part", "cohorts", "channels"), rows),
        "Foundation and calibration: people whose data made what cannot forget. Revocable:",
        "everybody else; each of their channels can be subtracted from the heads.",
        "",
    ]


def _metrics(evaluation: Evaluation | None) -> list[str]:
    if evaluation is None or not evaluation.rows:
        return ["It was not measured for this card.", ""]
    names = evaluation.family.leading[:_SHOWN]
    rows = [
        (
            row.available or row.condition.series,
            *(f"{row.metrics[name]:.3f} ({row.baseline[name]:.3f})" for name in names),
        )
        for row in evaluation.rows
    ]
    return [
        f"Rows of the {evaluation.split} split, cohort {evaluation.cohort}, by what is available;",
        f"in brackets {evaluation.baseline}.",
        "",
        *_table(("available", *names), rows),
    ]


def _certificates(found: Sequence[Certified]) -> list[str]:
    if not found:
        return ["None was issued since the policy of this model was logged.", ""]
    rows = (
        (one.certificate_id, one.guarantee_class, "+".join(one.modalities), one.logged_at)
        for one in found
    )
    return [
        "Issued since the policy of this model was logged; what they removed is not in it.",
        "",
        *_table(("certificate", "class", "channels", "logged"), rows),
    ]


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [*(f"| {' | '.join(map(str, line))} |" for line in lines), ""]
