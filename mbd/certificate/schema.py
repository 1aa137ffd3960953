"""JSON Schema (2020-12) of what strangers read: bundle, statement, receipt, escrow.

Made from the models, so the published files cannot say anything else. A rule that a schema
cannot hold (a number in its one spelling, ascending names) has a `format` of ours beside the
nearest pattern; `certs/FORMAT.md` defines each. Patterns are ECMA-262: `$` is the end of the
text, and nothing may follow it.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, cast, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from mbd.certificate import fields
from mbd.certificate.bundle import _BundleForm
from mbd.certificate.envelope import _EnvelopeForm
from mbd.certificate.escrow import Escrow
from mbd.certificate.receipt import Receipt
from mbd.certificate.statement import Statement

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FAMILY = "urn:mbd:schema:"

_NAME = "[a-z][a-z0-9_]{0,31}"
_SEGMENT = "[A-Za-z0-9_+][A-Za-z0-9._+-]*"
TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"
"""A moment, on a day that may not exist."""
# Where ECMAScript puts point and exponent; which digits are the fewest is left to `mbd-number`.
_PLAIN = r"0|[1-9][0-9]{0,20}|[1-9][0-9]*\.[0-9]*[1-9]"
_SMALL = r"0\.0{0,5}[1-9]([0-9]*[1-9])?"
_EXPONENT = r"(-([7-9]|[1-9][0-9]{1,2})|\+(2[1-9]|[3-9][0-9]|[1-9][0-9]{2}))"
_WITH_EXPONENT = rf"[1-9](\.[0-9]*[1-9])?e{_EXPONENT}"

RULES: Mapping[Callable[..., Any], Mapping[str, str | int]] = {
    fields._day: {"format": "mbd-day", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    fields._time: {"format": "mbd-time", "pattern": TIME},
    fields._ulid: {"format": "mbd-ulid", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
    fields._number: {
        "format": "mbd-number",
        "pattern": f"^({_PLAIN}|{_SMALL}|{_WITH_EXPONENT})$",
        "maxLength": 25,
    },
    fields._text: {"format": "mbd-text"},
    fields._head: {"format": "mbd-head", "pattern": rf"^{_NAME}(\+{_NAME})*$"},
    fields._modality: {"format": "mbd-modality", "pattern": f"^{_NAME}$"},
    fields._relative: {"format": "mbd-path", "pattern": f"^{_SEGMENT}(/{_SEGMENT})*$"},
    fields._ascending: {"format": "mbd-ascending"},
    cast(Any, Receipt._check_kind): {"format": "mbd-receipt"},
}
"""What each validator of the models adds to a schema."""


class _Generator(GenerateJsonSchema):
    """Adds what our validators ask for; one that is not in `RULES` is a defect."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """A title would only repeat the name."""
        return False

    def function_after_schema(
        self, schema: core_schema.AfterValidatorFunctionSchema
    ) -> JsonSchemaValue:
        validator: Any = schema["function"]["function"]
        inner = self.generate_inner(schema["schema"])
        if isinstance(validator, functools.partial):  # pydantic's own, for a length
            return inner
        return {**inner, **RULES[validator]}


def schemas(entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every published schema, by the name of its file.

    Args:
        entry: The schema of a bundle's `entry`, which is the ledger's.
    """
    return {
        "bundle.schema.json": _bundle(entry),
        "statement.schema.json": _published("statement", Statement),
        "receipt.schema.json": _published("receipt", Receipt),
        "escrow.schema.json": _published("escrow", Escrow),
    }


def value_schemas(model: type[BaseModel]) -> dict[str, Any]:
    """The members of a model that may be left out, each with the schema of its value."""
    members = _model_schema(model)["properties"]
    return {
        name: {key: value for key, value in one.items() if key != "default"}
        for name, one in members.items()
    }


def _bundle(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Of a bundle with its envelope and entry; the payload has a schema of its own."""
    whole, envelope = _published("bundle", _BundleForm), _model_schema(_EnvelopeForm)
    definitions = {"Entry": dict(entry), "Envelope": envelope, **envelope.pop("$defs")}
    members = {
        "envelope": {"$ref": "#/$defs/Envelope"},
        "entry": {"$ref": "#/$defs/Entry"},
    }
    return {**whole, "properties": {**whole["properties"], **members}, "$defs": definitions}


def _published(name: str, model: type[BaseModel]) -> dict[str, Any]:
    made = _model_schema(model)
    return {"$schema": DIALECT, "$id": f"{FAMILY}{name}:v1", **made}


def _model_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a model and of the models in it, patterns and titles as readers expect."""
    made: dict[str, Any] = model.model_json_schema(schema_generator=_Generator)
    own = made.get("$ref", "").removeprefix("#/$defs/")
    if own:  # a model with a validator of its own
        made = {**made["$defs"].pop(own), **{k: v for k, v in made.items() if k != "$ref"}}
    _describe(made, model)
    portable: dict[str, Any] = _portable(made)
    return portable


def _describe(made: dict[str, Any], model: type[BaseModel]) -> None:
    """Add the docstrings of fields to their schemas: `made` and its definitions."""
    places = {model.__name__: made, **made.get("$defs", {})}
    for one in _models(model):
        words = _field_words(one)
        for name, field in one.model_fields.items():
            member = places[one.__name__]["properties"][field.alias or name]
            if name in words:
                member["description"] = words[name]


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and every model below it."""
    yield model
    for field in model.model_fields.values():
        for found in _types(field.annotation):
            yield from _models(found)


def _types(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _types(argument)


def _field_words(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field, as the source has it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: " ".join(words.value.value.split())
        for field, words in pairwise(tree.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(words, ast.Expr)
        and isinstance(words.value, ast.Constant)
        and isinstance(words.value.value, str)
    }


def _portable(part: Any) -> Any:
    """Patterns as ECMA-262 spells them, lengths of arrays as such, prose on one line."""
    if isinstance(part, list):
        return [_portable(one) for one in part]
    if not isinstance(part, dict):
        return part
    made = {_plain(key): _portable(value) for key, value in part.items()}
    if made.get("type") == "array" and "minLength" in made:
        made["minItems"] = made.pop("minLength")  # where a validator stands in between
    if isinstance(made.get("pattern"), str):
        made["pattern"] = made["pattern"].replace(r"\z", "$")
    if isinstance(made.get("description"), str):
        made["description"] = " ".join(made["description"].split())
    for key in ("title", "$ref"):
        if isinstance(made.get(key), str):
            made[key] = _plain(made[key])
    return made


def _plain(name: str) -> str:
    """A private model's name as readers know it."""
    return re.sub(r"_([A-Z][a-z]+)Form\b", r"\1", name)
