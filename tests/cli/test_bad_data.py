"""Arrays and specs that cannot be imported or predicted from: named, and nothing lost."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.cli import clips
from tests.cli.conftest import contents
from tests.cli.test_bad_input import refused
from tests.workspaces import Ran, must_run, run_mbd


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A new workspace; data files go beside it."""
    must_run(tmp_path, "init", "service")
    return tmp_path / "service"


def bring(root: Path, text: str | None = None, **given: np.ndarray) -> Ran:
    source, how = clips.write(root.parent, clips.spec() if text is None else text, **given)
    return run_mbd(root, "data", "import", source, "--spec", how, "--json")


def with_value(name: str, where: object, value: object) -> dict[str, np.ndarray]:
    array = clips.arrays()[name]
    array[where] = value
    return {name: array}


NO_REGRESSION = clips.REGRESSION.replace("label_range = [-3.0, 3.0]\n", "")
OBJECTS = np.array([{"a": 1}] * 120, dtype=object)

BAD_ARRAYS = [
    # spec, arrays replaced, field, words
    (None, with_value("score", 3, 3.5), "label", "'clip003'"),
    (None, with_value("score", 3, np.inf), "label", "'clip003'"),
    (clips.spec(clips.CLASSIFICATION), with_value("mood", 4, 3), "label", "'clip004'"),
    (clips.spec(clips.CLASSIFICATION), with_value("mood", 4, -1), "label", "'clip004'"),
    (None, with_value("id", 7, "clip006"), "record_id", "'clip006'"),
    (None, with_value("id", 7, ""), "record_id", "printable"),
    (None, with_value("who", 7, 12), "subject.index", "outside"),
    (None, with_value("who", 7, -1), "subject.index", "outside"),
    (None, {"voice": np.zeros((120, 2, 2, 2))}, "modalities.voice", "(120, 2, 2, 2)"),
    (None, {"voice": np.zeros((119, 5, 3))}, "modalities.voice", "120 rows"),
    (None, {"face": np.zeros((120, 0))}, "modalities.face", "(120, 0)"),
    (None, {"face": np.array(["x"] * 120)}, "modalities.face", "unusable"),
    (None, {"steps": np.full(120, 6)}, "lengths.voice", "clip000"),
    (None, {"steps": np.full(120, -1)}, "lengths.voice", "clip000"),
    (None, {"face": OBJECTS}, "face", "pickle"),
    (clips.spec(more="[surprise]\nface = 1\n"), {}, "surprise", "unknown key"),
    (clips.spec(cohorts="foundatoin = [\"p00\"]\n"), {}, "foundatoin", "unknown key"),
    (clips.spec(NO_REGRESSION), {}, None, "label_range"),
    (clips.spec().replace('voice = ["voice"]', 'voice = ["void"]'), {}, "modalities.voice", "void"),
    (clips.spec(cohorts='foundation = ["p00"]\ncalibration = ["p00"]\n'), {}, "calibration", "p00"),
    (clips.spec(cohorts='foundation = ["stranger"]\n'), {}, "foundation", "stranger"),
    (clips.spec(cohorts="foundation = { fraction = 1.5 }\n"), {}, "foundation.fraction", "1"),
    ("task =", {}, "--spec", "not TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "given", "field", "words"), BAD_ARRAYS)
def test_what_cannot_be_imported_is_named_and_leaves_no_trace(
    empty: Path, text: str | None, given: dict[str, np.ndarray], field: str | None, words: str
) -> None:
    before = contents(empty)
    error = refused(bring(empty, text, **given), 1)
    assert error["field"] == field
    assert words in error["message"]
    assert contents(empty) == before
    assert bring(empty).code == 0


def test_a_bad_value_costs_its_channel_and_is_reported(empty: Path) -> None:
    face, voice = clips.arrays()["face"], clips.arrays()["voice"]
    face[5, 1], face[6, 0], voice[7, 0, 2] = np.nan, np.inf, -np.inf
    told = bring(empty, face=face, voice=voice, score=with_value("score", 9, np.nan)["score"])
    assert told.code == 0, told.out
    assert [(bad["record"], bad["modality"]) for bad in told.json["badValues"]] == [
        ("clip005", "face"), ("clip006", "face"), ("clip007", "voice"),
    ]  # fmt: skip
    assert [gone["record"] for gone in told.json["dropped"]] == ["clip009"]
    assert all(gone["reason"] for gone in told.json["dropped"])
    shown = must_run(empty, "data", "show", "--user", "p00", "--json").json["records"]
    available = {one["record"]: one["available"] for one in shown}
    assert available["clip005"] == ["voice"]
    assert available["clip007"] == ["face"]
    assert available["clip008"] == ["face", "voice"]


def test_a_pickle_under_another_name_is_never_run(empty: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    source, how = tmp_path / "trap.npz", clips.write(tmp_path, clips.spec())[1]
    source.write_bytes(pickle.dumps({"face": Trap()}))
    ran = run_mbd(empty, "data", "import", str(source), "--spec", how, "--json")
    assert refused(ran, 1)["code"] == "data.pickle"
    assert not (tmp_path / "sprung").exists()


def test_a_second_import_that_contradicts_the_first_changes_nothing(empty: Path) -> None:
    assert bring(empty).code == 0
    before = contents(empty)
    assert "clip000" in refused(bring(empty), 6)["message"]
    fresh = clips.arrays(prefix="more")
    refused(bring(empty, clips.spec(clips.CLASSIFICATION), **fresh), 6)
    moved = clips.spec(cohorts='foundation = ["p00", "p01", "p02", "p04"]\n')
    assert refused(bring(empty, moved, **fresh), 6)["field"] == "cohorts"
    assert contents(empty) == before
    assert bring(empty, **fresh).json["records"] == 2 * len(clips.PEOPLE) * clips.EACH


@pytest.fixture
def trained(empty: Path) -> Path:
    """A trained workspace of clips."""
    assert bring(empty).code == 0
    must_run(empty, "train", "--core", "none", "--set", "heads.width=64")
    return empty


def test_what_cannot_be_predicted_from_is_named(trained: Path, tmp_path: Path) -> None:
    good = {"face": np.zeros(4), "voice": np.zeros((3, 3))}
    source = tmp_path / "input.npz"

    def ask(*more: str) -> Ran:
        return run_mbd(trained, "predict", "--input", str(source), "--user", "p05", *more, "--json")

    before = contents(trained)
    for field, words, given in (
        ("face", "(5,)", {"face": np.zeros(5)}),
        ("voice", "(0, 3)", {"voice": np.zeros((0, 3))}),
        ("voice", "(1, 3, 3)", {"voice": np.zeros((1, 3, 3))}),
        ("voice", "()", {"voice": np.float64(1)}),
        ("face", "NaN", {"face": np.full(4, np.nan)}),
        ("face", "infinite", {"face": np.full(4, 1e300)}),
        ("face", "numbers", {"face": np.array(["a"] * 4)}),
        ("face", "pickle", {"face": np.array([{}] * 4, dtype=object)}),
        ("smell", "face, voice", {"smell": np.zeros(4)}),
        ("--input", "no array", {}),
    ):
        np.savez(source, **given)
        error = refused(ask(), 1)
        assert (error["field"], words in error["message"]) == (field, True), error
    np.savez(source, **good)
    assert ask().json["used"] == ["face", "voice"]
    assert refused(ask("--without", "face", "--without", "voice"), 2)["field"] == "--without"
    whole = source.read_bytes()
    one = io.BytesIO()
    np.save(one, np.zeros(4))
    for content in (b"", b"hello", whole[: len(whole) // 2], one.getvalue(), pickle.dumps(good)):
        source.write_bytes(content)
        assert refused(ask(), 1)["field"] == "--input"
    assert contents(trained) == before


def test_an_input_needs_the_name_of_its_person(trained: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "input.npz", face=np.zeros(4))
    command = ["predict", "--input", str(tmp_path / "input.npz"), "--json"]
    assert refused(run_mbd(trained, *command), 2)["field"] == "--user"
    assert refused(run_mbd(trained, *command, "--user", ""), 2)["field"] == "--user"


def test_a_channel_that_somebody_never_had_cannot_be_revoked(trained: Path) -> None:
    before = contents(trained)
    command = ["revoke", "--user", clips.SILENT, "--modality", "voice", "--json"]
    error = refused(run_mbd(trained, *command), 4)
    assert (error["code"], error["field"]) == ("modality.not_held", "--modality")
    assert contents(trained) == before
    assert must_run(trained, "state", "check", "--json").json["equal"]
