"""FORMAT.md names everything that the published files use. Its tables are checked as generated."""

from __future__ import annotations

import json
import re
from typing import Any

from mbd.verify.codes import CODES
from mbd.verify.report import EXIT_CODES
from mbd.verify.run import CHECKS
from tests.certs.places import CERTS

TEXT = (CERTS / "FORMAT.md").read_text("utf-8")
REGISTRY = json.loads((CERTS / "registry.json").read_text("utf-8"))


def rows(name: str) -> list[list[str]]:
    """The rows of a generated table."""
    table = re.search(rf"<!-- table: {name} -->\n(.*?)<!-- end -->", TEXT, re.DOTALL)
    assert table is not None
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()[2:]
    ]


def values(part: Any, key: str) -> set[str]:
    """Every value of a key, wherever in a document."""
    if isinstance(part, list):
        return {found for one in part for found in values(one, key)}
    if not isinstance(part, dict):
        return set()
    own = {part[key]} if isinstance(part.get(key), str) else set()
    return own | {found for one in part.values() for found in values(one, key)}


def test_every_code_is_in_its_table_with_its_sentence():
    wanted = [[f"`{name}`", one.outcome, one.sentence] for name, one in sorted(CODES.items())]
    assert rows("codes") == wanted


def test_every_check_is_in_its_table_and_has_a_paragraph():
    names = [[str(n), name, level] for n, (name, level, _) in enumerate(CHECKS, start=1)]
    assert rows("checks") == names
    assert all(f"**{number}**" in TEXT for number, _, _ in names)


def test_exit_codes_are_those_of_the_command():
    found = {name: int(code) for code, name, _ in rows("exits")}
    assert found == {**EXIT_CODES, "usage": 2, "internal error": 70}


def test_every_format_and_constant_is_explained():
    schemas = [json.loads(path.read_bytes()) for path in (CERTS / "schema").iterdir()]
    assert all(f"`{name}`" in TEXT for name in values(schemas, "format"))
    fields = {"reproduce", "modelFiles", "headFiles", "years"}
    assert all(name in TEXT for name in set(REGISTRY["rules"]) - fields)
    assert all(f"`{name}`" in TEXT for name in REGISTRY["limits"])


def test_every_member_of_the_predicate_is_explained():
    predicate = json.loads((CERTS / "schema/statement.schema.json").read_bytes())["$defs"][
        "Predicate"
    ]
    assert all(name in TEXT for name in predicate["properties"])
