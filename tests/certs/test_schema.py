"""The published schemas say what the models say, to a library that knows nothing of us."""

from __future__ import annotations

import copy
import json
from base64 import b64decode
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from mbd.certificate.fields import validate
from mbd.certificate.receipt import Receipt
from mbd.certificate.statement import Statement
from mbd.errors import DataError
from tests.certs.places import BARE, CERTS, EXAMPLES, certificate, second

SCHEMAS = {
    path.name.partition(".")[0]: json.loads(path.read_text("utf-8"))
    for path in (CERTS / "schema").iterdir()
}
FORMATS = FormatChecker(formats=())
for one, rule in second.FORMATS.items():
    FORMATS.checks(one, raises=(ValueError, TypeError))(rule)
VALIDATORS = {
    name: Draft202012Validator(schema, format_checker=FORMATS) for name, schema in SCHEMAS.items()
}
SCHEMA_CODES = ("bundle.schema", "envelope.schema", "statement.schema")
BEYOND = {"refused/envelope-with-a-key-twice"}
"""A rule that no schema holds: one signature per key."""


def parsed(data: bytes) -> tuple[Any, Any]:
    """A bundle and its statement."""
    bundle = json.loads(data)
    return bundle, json.loads(b64decode(bundle["envelope"]["payload"]))


def fits(bundle: Any, statement: Any) -> bool:
    return VALIDATORS["bundle"].is_valid(bundle) and VALIDATORS["statement"].is_valid(statement)


def test_the_schemas_are_schemas_and_closed():
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)
        for part in [schema, *schema.get("$defs", {}).values()]:
            assert part["additionalProperties"] is False
            assert set(part["required"]) == set(part["properties"])


@pytest.mark.parametrize("name", [name for name in BARE if name.startswith("valid/")])
def test_valid_examples_fit(name):
    bundle, statement = parsed(certificate(name))

    for validator, value in (("bundle", bundle), ("statement", statement)):
        VALIDATORS[validator].validate(value)


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.glob("receipts/*.json")), ids=lambda path: path.name
)
def test_receipts_fit(path):
    VALIDATORS["receipt"].validate(json.loads(path.read_bytes()))


@pytest.mark.parametrize("name", [n for n, w in BARE.items() if w["code"] in SCHEMA_CODES])
def test_what_is_refused_for_its_form_does_not_fit(name):
    bundle = json.loads(certificate(name))
    try:
        statement = parsed(certificate(name))[1]
    except (KeyError, ValueError):
        statement = None
    assert fits(bundle, statement) == (name in BEYOND)


def test_what_is_refused_for_its_content_fits():
    readable = [
        name
        for name, wanted in BARE.items()
        if not wanted["code"].startswith(("json.", "bundle.", "envelope.", "base64", "statement."))
    ]
    misfits = [name for name in readable if not fits(*parsed(certificate(name)))]

    assert len(readable) > 60
    assert misfits == ["refused/entry-of-an-unknown-type", "refused/entry-at-no-time"]


ODD = (None, True, 0, -1, 1.0, 2**31, "", "x", "0.50", "1e5", "-0", "0", "A" * 2001,
       "\u202e", "2026-02-30", "2026-05-17T12:00:00Z", "0" * 64, "0" * 63 + "A", [], ["b", "a"], {},
       {"x": 1})  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a value, of lists the first two."""
    inner = value.items() if isinstance(value, dict) else []
    inner = list(enumerate(value))[:2] if isinstance(value, list) else inner
    return [path, *(found for key, part in inner for found in places(part, (*path, key)))]


def altered(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    changed = copy.deepcopy(value)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return changed


def whole(receipt: Any) -> bool:
    """`mbd-receipt`: the kind says whether it opens everything or shows one item."""
    opened = [one for one in receipt["openings"].values() if one is not None]
    if receipt["receipt"].endswith("receipt:v1"):
        all_there = len(receipt["items"]) == receipt["treeSize"] and receipt["traces"] is not None
        return all_there and len(opened) == 4
    return len(opened) == 1 and receipt["traces"] is None and len(receipt["items"]) == 1


def fits_schema(name: str, value: Any) -> bool:
    try:
        second.DEFINITIONS |= SCHEMAS[name]["$defs"]
        fitting = second.fits(value, SCHEMAS[name])
    except ValueError:
        return False
    return fitting and (name != "receipt" or whole(value))


def accepted(model: Any, value: Any) -> bool:
    try:
        validate(model, value, code="x")
    except DataError:
        return False
    return True


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (Statement, "statement", parsed(certificate("valid/certified"))[1]),
        (Receipt, "receipt", json.loads((EXAMPLES / "receipts/certified.json").read_bytes())),
    ],
)
def test_model_and_schema_agree_on_odd_values_everywhere(model, name, value):
    differing = [
        (path, new)
        for path in places(value)[1:]
        for new in ODD
        for changed in [altered(value, path, new)]
        if fits_schema(name, changed) != accepted(model, changed)
    ]
    assert differing == []
