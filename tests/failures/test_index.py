"""The list of failures points at tests that exist."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.failures.index import FAILURES

TESTS = Path(__file__).parents[1]


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("number", FAILURES)
def test_every_failure_has_a_test_that_exists(number):
    assert FAILURES[number].tests
    for name in FAILURES[number].tests:
        file, _, function = name.partition("::")
        assert function in functions_of(TESTS / file), name


def test_the_list_is_numbered_without_gaps():
    assert list(FAILURES) == list(range(1, 15))
