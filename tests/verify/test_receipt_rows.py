"""A certificate that says "nothing to subtract", beside a receipt that lists training records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mbd.canonical.items import Item, prove_items, root_of_items
from mbd.certificate.issue import openings
from mbd.certificate.receipt import excerpt, make_receipt
from mbd.values import DeletionOutcome
from mbd.verify.report import Report
from mbd.verify.run import verify_bundle
from tests.certificate.samples import (
    ITEMS,
    SUBJECT,
    SUBJECT_KEY,
    TRACES,
    exact_outcome,
    issuance,
    outcome,
    retrained_outcome,
)
from tests.verify.world import LATER, make_world

NOTHING = exact_outcome(selected_heads=())
FILES = {file.path: file for file in NOTHING.model_after}


def without_head(name: str) -> DeletionOutcome:
    """A model whose family of heads lacks one."""
    files = tuple(file for path, file in FILES.items() if path != f"heads/{name}.safetensors")
    heads = tuple(head for head in NOTHING.all_heads if head != name)
    return replace(NOTHING, model_after=files, all_heads=heads)


def judge(made: DeletionOutcome, items: Sequence[Item], *, short: bool = False) -> Report:
    """Check a receipt that lists these items."""
    made = replace(made, deleted_set=root_of_items(items).hex())
    world = make_world(made)
    receipt = make_receipt(
        world.statement.predicate,
        subject=SUBJECT,
        subject_key=SUBJECT_KEY,
        salts=issuance().salts.named(),
        digests=openings(made),
        items=prove_items(items),
        traces=TRACES,
    )
    given = excerpt(receipt, items[0].record, items[0].modality) if short else receipt
    content = given.to_bytes()
    return verify_bundle(world.data, world.trust, receipt=content, require="SUBJECT", now=LATER)


@pytest.mark.parametrize("short", [False, True])
def test_training_records_of_somebody_who_may_revoke_are_something_to_subtract(short: bool) -> None:
    report = judge(NOTHING, ITEMS, short=short)

    found = report.checks[19]
    assert (found.code, found.result, report.exit_code) == ("receipt.rows", "skipped", 3)
    assert "training record 'r" in found.reason


@pytest.mark.parametrize(
    ("made", "changes"),
    [
        (NOTHING, {"split": "valid"}),
        (NOTHING, {"split": "test"}),
        (NOTHING, {"cohort": "foundation"}),  # a core may have learned from it, and no head
        (NOTHING, {"cohort": "calibration"}),
        (without_head("audio"), {}),  # audio+text takes the text of the same record, too
        (exact_outcome(), {}),
        (outcome(), {}),
        (retrained_outcome(), {}),
    ],
)
def test_what_no_head_learns_from_is_nothing_to_subtract(
    made: DeletionOutcome, changes: dict[str, Any]
) -> None:
    report = judge(made, [replace(item, **changes) for item in ITEMS])

    assert (report.exit_code, report.checks[19].result) == (0, "pass"), report.verdict


def test_two_channels_of_one_record_are_a_row_of_the_head_of_both() -> None:
    both = ("audio", "text")
    items = [
        replace(item, record="r0", modality=name) for item, name in zip(ITEMS, both, strict=False)
    ]
    alone = [replace(item, record=name) for item, name in zip(items, both, strict=True)]
    only_both = replace(
        NOTHING,
        modalities=both,
        all_heads=("audio+text",),
        model_after=(FILES["heads/audio+text.safetensors"], FILES["policy.json"]),
    )
    assert [judge(only_both, one).checks[19].code for one in (items, alone)] == [
        "receipt.rows",
        "ok",
    ]
