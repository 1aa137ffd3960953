"""`mbd data validate`: every problem by record and field, nothing changed, no workspace needed."""

from __future__ import annotations

import json

import pytest

from mbd.cli.main import invoke
from tests.data.mmsa import dumps, mmsa_set

SPEC = """
task = "regression"
label = "mood"
label_range = [-3, 3]
record_id = "clip"
subject = "who"
split = { column = "part", train = "train", valid = "valid", test = "test" }
[modalities]
audio = "a_*"
text = "t_*"
"""
ROWS = """clip,who,part,mood,a_0,a_1,t_0
c0,ann,train,1,1,2,3
c1,ann,test,2,4,5,6
c2,bob,valid,-1,,,7
"""


@pytest.fixture
def mbd(tmp_path, monkeypatch, capsys):
    """Runs a command where there is no workspace; gives exit code and JSON document."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("MBD_WORKSPACE", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: object) -> tuple[int, dict]:
        code = invoke([*map(str, arguments), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def source(folder, rows: str = ROWS, spec: str = SPEC):
    (folder / "a.csv").write_text(rows)
    (folder / "a.toml").write_text(spec)
    return folder / "a.csv", "--spec", folder / "a.toml"


def places(found: dict) -> list[tuple[str, str, str]]:
    return [(p["record"], p["field"], p["effect"]) for p in found["problems"]]


def test_a_clean_source_has_no_problem(mbd, tmp_path):
    code, found = mbd("data", "validate", *source(tmp_path))

    assert code == 0
    assert (found["importable"], found["records"], found["problems"]) == (True, 3, [])
    assert found["schema"] == "urn:mbd:cli:data-validate:v1"


def test_every_problem_is_named_not_only_the_first(mbd, tmp_path):
    rows = ROWS + (
        "c0,ann,train,0,1,1,1\n"  # an id twice
        "c4,,train,happy,1,1,1\n"  # nobody, and a label in words
        "c5,bob,train,9,1,1,1\n"  # a label out of range
        "c6,bob,train,,1,1,1\n"  # no label
        "c7,bob,later,0,1,1,1\n"  # no split
        "c8,bob,train,0,1,loud,1\n"  # a word among features
        "c9,bob,train,0,1,,nan\n"  # half a modality, and a NaN: nothing left
        "c10,bob,train\n"  # half a row
    )

    code, found = mbd("data", "validate", *source(tmp_path, rows))

    assert code == 1
    assert not found["importable"]
    assert sorted(places(found)) == sorted([
        ("line 12", "SRC", "refused"),
        ("c0", "record_id", "refused"),
        ("c4", "subject", "refused"),
        ("c4", "label", "refused"),
        ("c5", "label", "refused"),
        ("c6", "label", "dropped"),
        ("c7", "split", "dropped"),
        ("c8", "audio", "absent"),
        ("c9", "audio", "absent"),
        ("c9", "text", "absent"),
        ("c9", "modalities", "dropped"),
    ])  # fmt: skip


def test_problems_that_an_import_survives_are_told_apart(mbd, tmp_path):
    rows = ROWS + "c3,bob,train,0,inf,1,1\n"
    code, found = mbd("data", "validate", *source(tmp_path, rows))

    assert (code, found["importable"], found["records"]) == (1, True, 4)
    assert places(found) == [("c3", "audio", "absent")]


def test_every_unusable_part_is_named(mbd, tmp_path):
    spec = SPEC.replace('"mood"', '"mod"').replace('"who"', '"whom"').replace("a_*", "b_*")

    _, found = mbd("data", "validate", *source(tmp_path, spec=spec))

    assert [p["field"] for p in found["problems"]] == ["subject", "label", "modalities.audio"]


def test_every_wrong_key_of_a_spec_is_named(mbd, tmp_path):
    spec = SPEC.replace("task", "tsk") + "[colours]\nred = 1\n"

    code, found = mbd("data", "validate", *source(tmp_path, spec=spec))

    assert code == 1
    assert {p["field"] for p in found["problems"]} == {"tsk", "colours", "task"}


def test_people_the_spec_lists_are_to_be_there_unless_they_are_already(mbd, tmp_path):
    given = source(tmp_path, spec='foundation = ["ann", "zoe"]\n' + SPEC)

    code, found = mbd("data", "validate", *given)

    assert (code, places(found)) == (1, [(None, "foundation", "refused")])
    assert "'zoe'" in found["problems"][0]["reason"]
    assert mbd("data", "validate", *given, "--joining")[0] == 0


def test_an_import_says_how_many_problems_there_are(mbd, tmp_path):
    mbd("init", tmp_path / "service")
    rows = ROWS.replace(",1,1,2,3", ",7,1,2,3").replace(",2,4,5,6", ",8,4,5,6")

    code, refused = mbd("-w", tmp_path / "service", "data", "import", *source(tmp_path, rows))

    assert code == 1
    assert refused["error"]["field"] == "label"
    assert "'c0'" in refused["error"]["message"]
    assert "1 more" in refused["error"]["hint"]


def test_a_pickle_that_would_run_code_is_a_problem_with_a_name(mbd, tmp_path):
    bomb = b"cposix\nsystem\n(S'touch " + str(tmp_path / "mark").encode() + b"'\ntR."
    (tmp_path / "mosi.pkl").write_bytes(bomb)

    code, found = mbd("data", "validate", tmp_path / "mosi.pkl")

    assert code == 1
    assert "posix.system" in found["problems"][0]["reason"]
    assert not (tmp_path / "mark").exists()


def test_nothing_is_changed_and_nothing_is_left(mbd, tmp_path):
    given = source(tmp_path, ROWS + "c3,bob,train,0,inf,1,1\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    mbd("data", "validate", *given)

    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_names_that_a_terminal_would_act_upon_are_quoted(mbd, tmp_path, capsys):
    (tmp_path / "a.toml").write_text(SPEC)
    (tmp_path / "a.csv").write_text(ROWS + "\x1b[2Jx,bob,train,99,1,1,1\n")

    assert invoke(["data", "validate", str(tmp_path / "a.csv"), "--spec",
                   str(tmp_path / "a.toml")]) == 1  # fmt: skip
    shown = capsys.readouterr().out

    assert "\x1b" not in shown
    assert "2 problems; an import is refused." in shown


def test_what_cannot_be_read_at_all_is_an_error_not_a_problem(mbd, tmp_path):
    spec = source(tmp_path)[2]
    (tmp_path / "a.xyz").write_text("")

    assert mbd("data", "validate", tmp_path / "absent.csv", "--spec", spec)[0] == 4
    assert mbd("data", "validate", tmp_path / "a.csv", "--spec", tmp_path / "absent.toml")[0] == 4
    assert mbd("data", "validate", tmp_path / "a.csv")[0] == 2
    assert mbd("data", "validate", tmp_path / "a.xyz", "--spec", spec)[0] == 2
    assert mbd("data", "validate", tmp_path / "a.xyz", "--spec", spec, "--format", "odt")[0] == 2


def test_a_set_of_mmsa_is_imported_without_a_spec(mbd, tmp_path):
    mbd("init", tmp_path / "service")
    (tmp_path / "mosi.pkl").write_bytes(dumps(mmsa_set("mosi", aligned=False), numpy=1))

    code, taken = mbd("-w", tmp_path / "service", "data", "import", tmp_path / "mosi.pkl",
                      "--format", "mmsa", "--foundation", 0.6, "--seed", 0)  # fmt: skip

    assert (code, taken["name"], taken["records"], taken["subjects"]) == (0, "mosi", 12, 4)
    assert sum(taken["cohorts"].values()) == 4
    assert taken["cohorts"]["foundation"] > 0
