"""A verifier that shares nothing with ours says the same of every certificate."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mbd.canonical.numbers import to_decimal
from mbd.errors import UsageError
from mbd.privacy import zcdp
from mbd.signing.keys import generate_key
from mbd.verify import verify_bundle
from mbd.verify.trust import load_trust, parse_trust
from mbd.verify.trust_text import render_trust
from tests.certificate.samples import (
    HEADS,
    empirical_outcome,
    exact_outcome,
    outcome,
    retrained_outcome,
)
from tests.certs.places import (
    BARE,
    CERTS,
    EXAMPLES,
    VERIFIER,
    certificate,
    second,
    second_exit_code,
)
from tests.verify.world import LATER, make_world

from making.defects import change, put  # isort: skip  (beside the examples)
from making.valid import STORIES  # isort: skip

NOW = datetime.now(UTC)
TRUST = parse_trust((EXAMPLES / "trust.toml").read_bytes())
TABLE = second.tomllib.loads((EXAMPLES / "trust.toml").read_text("utf-8"))
ALLOWED = {*sys.stdlib_module_names, "cryptography"}


def test_it_is_one_short_file_that_imports_nothing_of_ours():
    source = (VERIFIER / "verify.py").read_text("utf-8")
    tree = ast.walk(ast.parse(source))
    found = [one.names if isinstance(one, ast.Import) else [one] for one in tree
             if isinstance(one, ast.Import | ast.ImportFrom)]  # fmt: skip
    names = {getattr(one, "module", None) or one.name for group in found for one in group}

    assert [path.name for path in VERIFIER.glob("*.py")] == ["verify.py"]
    assert len(source.splitlines()) < 200
    assert max(map(len, source.splitlines())) <= 100
    assert {one.partition(".")[0] for one in names} <= ALLOWED


def exit_code(certificate: Path | str, trust: Path | None) -> int:
    line = [sys.executable, VERIFIER / "verify.py", certificate, *([trust] if trust else [])]
    return subprocess.run(line, capture_output=True, check=False).returncode


def expected_exit(name: str) -> tuple[int, int]:
    """What the process says, and what it should."""
    wanted = BARE[name]
    trust = EXAMPLES / wanted["trust"] if wanted["trust"] else None
    return exit_code(EXAMPLES / wanted["file"], trust), wanted["exitCode"]


FEW = ("valid/certified", "valid/ecdsa-p256", "refused/json-cut-short", "refused/theorem-unknown",
       "refused/epsilon-one-step-too-small", "refused/key-distrusted-later",
       "refused/nobody-is-trusted")  # fmt: skip


@pytest.mark.parametrize("name", FEW)
def test_as_a_process_it_agrees(name):
    found, wanted = expected_exit(name)
    assert found == wanted


@pytest.mark.slow
def test_as_a_process_it_agrees_on_every_example():
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(BARE, pool.map(expected_exit, BARE), strict=True))

    assert {name: one for name, one in found.items() if one[0] != one[1]} == {}


def test_a_file_that_is_missing_is_wrong_usage(tmp_path):
    good = EXAMPLES / "trust.toml"

    assert exit_code(tmp_path / "none.json", good) == 2
    assert exit_code(EXAMPLES / "valid/certified.json", tmp_path / "none.toml") == 2
    assert subprocess.run([sys.executable, VERIFIER / "verify.py"], check=False).returncode == 2


WRONG = {"keyId": "keyIds", 'keyId = "e5': 'keyId = "00', "[[issuer]]": "[issuer", "vkey": "keyv",
         "origin": "name", "name": "title"}  # fmt: skip


@pytest.mark.parametrize("found", WRONG)
def test_a_trust_file_that_says_nothing_to_believe_is_wrong_usage(found, tmp_path):
    content = (EXAMPLES / "trust.toml").read_text("utf-8")
    assert found in content
    (tmp_path / "trust.toml").write_text(content.replace(found, WRONG[found], 1), "utf-8")

    assert exit_code(EXAMPLES / "valid/certified.json", tmp_path / "trust.toml") == 2


SLIPS = {
    "a name in other letters": ("[log]", "distrustedfrom = 3\n[log]"),
    "a number in quotes": ("[log]", 'distrustedFrom = "3"\n[log]'),
    "a truth value": ("[log]", "validFrom = true\n[log]"),
    "an index below zero": ("[log]", "retiredFrom = -1\n[log]"),
    "a table that nobody knows": ("[log]", "[limit]\nepsilon = 0.1\n[log]"),
    "a limit that nobody knows": ("[log]", "[limits]\nepsilons = 0.1\n[log]"),
    "a limit in quotes": ("[log]", '[limits]\nepsilon = "8"\n[log]'),
    "a limit of nothing": ("[log]", "[limits]\nepsilon = 0\n[log]"),
    "a limit without end": ("[log]", "[limits]\nepsilon = inf\n[log]"),
    "a quorum of nobody": ("[log]", "[witnesses]\nquorum = 0\n[log]"),
    "no name": ('name = "Another Clinic"', 'name = ""'),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_a_trust_file_is_not_passed_over(slip, tmp_path):
    """It may have been meant to distrust somebody; the certificate is not to blame."""
    content = (EXAMPLES / "trust.toml").read_text("utf-8")
    assert content.count(SLIPS[slip][0]) == 1
    (tmp_path / "trust.toml").write_text(content.replace(*SLIPS[slip]), "utf-8")

    assert exit_code(EXAMPLES / "valid/certified.json", tmp_path / "trust.toml") == 2
    with pytest.raises(UsageError):
        load_trust(tmp_path / "trust.toml")


def test_all_that_a_trust_file_may_say_is_understood(tmp_path):
    content = (CERTS / "trust.example.toml").read_text("utf-8")
    content = content.replace("# validFrom", "validFrom").replace("# retiredFrom", "retiredFrom")
    content = content.replace("# distrustedFrom = ", "distrustedFrom = ")
    (tmp_path / "trust.toml").write_text(content, "utf-8")

    load_trust(tmp_path / "trust.toml")
    assert exit_code(tmp_path / "trust.toml", tmp_path / "trust.toml") == 1  # no certificate


@pytest.mark.parametrize("error", [KeyError, IndexError, TypeError, RecursionError, NameError])
def test_nothing_that_goes_wrong_inside_a_check_is_a_success(error, tmp_path):
    """As a process, with a defect put into a check of a certificate that is valid."""
    source = (VERIFIER / "verify.py").read_text("utf-8")
    place = "def check_arithmetic(guarantee):\n"
    assert source.count(place) == 1
    script = tmp_path / "verify.py"
    script.write_text(
        source.replace(place, f"{place}    raise {error.__name__}('defect')\n"), "utf-8"
    )
    line = [sys.executable, script, EXAMPLES / "valid/certified.json", EXAMPLES / "trust.toml"]

    found = subprocess.run(line, capture_output=True, env={"MBD_CERTS": str(CERTS)}, check=False)

    assert (found.returncode, found.stderr) == (1, b"")
    assert error.__name__ in found.stdout.decode()


@pytest.mark.parametrize("name", BARE)
def test_it_agrees_on_every_example(name):
    wanted = BARE[name]
    path = wanted["trust"]
    trust = second.tomllib.loads((EXAMPLES / path).read_text("utf-8")) if path else None

    assert second_exit_code(certificate(name), trust, NOW) == wanted["exitCode"]


FRESH = {
    "certified": {},
    "exact": {"deletion": exact_outcome()},
    "nothing to subtract": {"deletion": exact_outcome(selected_heads=())},
    "all heads": {"deletion": exact_outcome(selected_heads=HEADS, modalities=("audio", "text"))},
    "retrained": {"deletion": retrained_outcome()},
    "empirical": {"deletion": empirical_outcome()},
    "three attempts": {"deletion": outcome(attempts=3)},
    "another delta": {"delta": 3e-9},
    "an entry of another type": {"kind": "attempt"},
    "two keys": {"signers": (generate_key(), generate_key("ecdsa-p256"))},
}


@pytest.mark.parametrize("kind", FRESH)
def test_it_agrees_on_what_was_just_issued(kind, tmp_path):
    world = make_world(**FRESH[kind])
    (tmp_path / "cert.json").write_bytes(world.data)
    (tmp_path / "trust.toml").write_text(render_trust(world.trust), "utf-8")

    ours = verify_bundle(world.data, world.trust, now=LATER).exit_code

    assert ours == {"an entry of another type": 1, "two keys": 3}.get(kind, 0)
    assert exit_code(tmp_path / "cert.json", tmp_path / "trust.toml") == ours


def agree(data: bytes) -> int:
    ours = verify_bundle(data, TRUST, now=NOW).exit_code
    assert second_exit_code(data, TABLE, NOW) == ours
    return ours


_G, _R = "predicate.guarantee.", "predicate.request."
VALUES: dict[str, tuple[Any, ...]] = {
    _G + "class": ("certified", "exact", "empirical"),
    _G + "theorem": (None, *sorted(second.REGISTRY["theorems"]), "urn:mbd:theorem:new:v1"),
    _G + "rho": (None, "0", "1", "0.01", "1e-9"),
    _G + "epsilon": (None, "0", "1", "0.1", "1e-9"),
    _G + "delta": (None, "0", "0.01", "1", "1e-9"),
    _G + "attempts": (0, 1, 2, 1000),
    _G + "reproduce": (None, "mbd state check", "mbd"),
    _G + "parameters": ([],),
    _G + "selectedHeads": ([], ["audio"], ["audio", "audio+text", "text"]),
    _G + "heads": (["audio"], ["audio", "text"]),
    _G + "parameters.0.sigma": ("0.001", "0.0009765625", "0"),
    _G + "parameters.0.tolerance": ("1", "1e-9", "5e-324"),
    _G + "parameters.0.strongConvexity": ("1", "1e-300", "1e+300"),
    _G + "parameters.0.grid": ("1", "0.5", "5e-324"),
    _G + "policyEntry.index": (0, 2, 3, 4),
    "predicate.deletion.modalities": (["audio", "text"], ["text"], ["video"]),
    "predicate.ledger.size": (0, 1, 2, 3, 4),
    "predicate.ledger.root": ("0" * 64, second.sha256().hex()),
    "predicate.supersedes": ("0" * 26, "7" + "Z" * 25),
    "predicate.certificateId": ("7" + "Z" * 25, "0" * 26),
    "predicate.issuedAt": ("2026-05-17T12:01:00Z", "2026-05-17T12:01:01Z", "9999-12-31T23:59:59Z"),
    _R + "completedOn": ("2026-05-16", "2026-04-17", "2026-04-16", "0001-01-01", "9999-12-31"),
    _R + "receivedOn": ("2026-05-17", "2019-12-31", "2020-01-01", "2026-04-01"),
    _R + "dueBy": ("2026-05-15", "2026-05-14", "2200-12-31", "2201-01-01"),
    _R + "basis": (
        "Certified by law",
        "see https://x",
        "a/b",
        "/etc/x",
        "é/x",
        "C:\\x",
        "proof",
        "\uff50roof",
        "gua\u0301rantee",
        "\u0131:\\x",
        "\u0440r\u03bf\u03bfof",
        "\u0434\u043e\u0433\u043e\u0432\u043e\u0440",
    ),
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_it_agrees_on_whatever_a_trusted_issuer_signs(data):
    """One to three members of a statement are altered, then it is signed and logged."""
    name = data.draw(st.sampled_from(sorted(STORIES)))
    paths = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3))
    edits = [put(path, data.draw(st.sampled_from(VALUES[path]))) for path in paths]

    def edit(statement: Any) -> None:
        for one in edits:
            try:
                one(statement)
            except IndexError:  # no parameters in this class
                continue

    agree(second_story(name, edit).data())


def second_story(name: str, edit: Any) -> Any:
    return replace(STORIES[name], edit=edit)


@pytest.mark.parametrize("path", VALUES)
def test_it_agrees_on_each_of_these_alone(path):
    for value in VALUES[path]:
        for name in ("certified", "exact", "exact-retrained"):
            if "parameters.0" in path and name != "certified":
                continue
            agree(second_story(name, put(path, value)).data())


def test_it_agrees_whatever_byte_is_changed():
    whole, chance = certificate("valid/certified"), random.Random(0)
    for _ in range(300):
        spoiled = bytearray(whole)
        spoiled[chance.randrange(len(whole))] = chance.randrange(256)
        agree(bytes(spoiled))


@pytest.mark.parametrize("cap", ["bundleMarks", "bundleBytes"])
def test_it_agrees_beyond_the_caps(cap):
    story, more = STORIES["certified"], second.LIMITS[cap]
    bundle = story.bundle()
    change("tlogProof", lambda text: text + ":" * more)(bundle)
    assert agree(second.canonical(bundle)) == 1


WORDS = {"$schema", "$id", "$defs", "title", "description", "additionalProperties"}
"""Of a schema that forbid nothing, but the last: `required` says all that it would."""


def keywords(schema: dict[str, Any]) -> set[str]:
    """Every keyword in a schema and those below it."""
    below = [*schema.get("$defs", {}).values(), *schema.get("properties", {}).values()]
    below += [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return set(schema).union(*map(keywords, below))


def test_it_passes_over_no_keyword_of_the_published_schemas():
    cases = [one["predicate"] for one in second.REGISTRY["cases"]]
    used = set().union(*map(keywords, [second.BUNDLE, second.STATEMENT, *cases]))

    assert used - WORDS == set(second.KEYWORDS)


@pytest.mark.parametrize(("letters", "wanted"), [(300_000, 0), (400_000, 1)])
def test_it_agrees_that_a_note_is_measured_in_bytes(letters, wanted):
    """A signature line of somebody else, whose name is in letters of three bytes."""
    bundle = STORIES["certified"].bundle()
    line = "\N{EM DASH} " + "\u6f22" * letters + " AAAAAAAA\n"
    change("tlogProof", lambda text: text + line)(bundle)

    assert agree(second.canonical(bundle)) == wanted


def test_what_is_too_large_is_not_parsed():
    assert second.read(b"[1,2]", 5, 2) == [1, 2]
    for size, marks in ((4, 2), (5, 1)):
        with pytest.raises(ValueError, match="too large"):
            second.read(b"[1,2]", size, marks)


@given(st.floats(5e-324, 1.7e308), st.floats(5e-324, 0.01))
@example(1e40, 0.01)
@example(5e-324, 5e-324)
@settings(deadline=None)
def test_both_convert_rho_to_the_same_epsilon(rho, delta):
    assert second.epsilon_of(rho, delta) == zcdp.epsilon_of(rho, delta)


def is_number(text: str) -> bool:
    schema = second.DEFINITIONS["Parameters"]["properties"]["sigma"]
    return bool(second.fits(text, schema))


@given(st.floats(0, allow_infinity=False))
def test_both_spell_numbers_alike(value):
    assert is_number(to_decimal(value))
    for other in {repr(value), f"{value:f}", f"{value:e}", f"{value:.16e}"} - {to_decimal(value)}:
        assert float(other) != value or not is_number(other)


@pytest.mark.parametrize(
    "text", ["1.0", "01", ".5", "1e5", "1e+20", "0.0000001", "1e-6", "1e400", "-0", "1e+021"]
)
def test_another_spelling_of_a_number_is_refused(text):
    assert not is_number(text)
