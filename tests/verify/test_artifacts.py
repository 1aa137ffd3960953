"""With the model at hand: its files, policy and heads have to say what the certificate says."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbd.canonical.digest import sha256_hex
from mbd.canonical.json import dumps
from mbd.deletion.parameters import HeadPolicy
from mbd.errors import DataError
from mbd.head.feature_map import FeatureMap
from mbd.head.solve import HeadScale
from mbd.model.core import Core, CoreConfig
from mbd.model.snapshot import ARCHITECTURE, core_digest, save_core
from mbd.training.settings import CoreSettings
from mbd.values import FileDigest, parse_availability
from mbd.verify import Report, verify_bundle
from mbd.verify.core_file import ARCHITECTURES, CONFIG_MEMBERS
from mbd.verify.head_file import read_head
from mbd.verify.model_policy import (
    Constants,
    Features,
    HeadSetting,
    NetworkSetting,
    Scale,
    parse_policy,
)
from mbd.verify.report import settle
from mbd.verify.summary import summary
from mbd.workspace.settings import HeadSettings
from tests.certificate.samples import HEADS, exact_outcome, head, outcome, retrained_outcome
from tests.verify.world import LATER, World, make_world

D, K = 4, 2
STEPS = 2**17  # sigma / grid of the samples
SELECTED = ("audio", "audio+text")


def small(name: str, **changes: Any):
    return head(name, **{"dimension": D, "outputs": K, **changes})


def policy(**changes: Any) -> dict[str, Any]:
    """As training writes it, as far as the verifier reads it."""
    heads = {
        name: {
            "constants": {
                "head": name,
                "dimension": D,
                "outputs": K,
                "sigma": 2.0**-13,
                "grid": 2.0**-30,
                "scale": {"feature_bits": 11, "target_bits": 12, "strong_convexity": 0.25},
            },
            "featureMap": {
                "inputs": 3,
                "width": D,
                "frequency_std": 1.0,
                "clip": 2.5,
                "amplitude": 2380,
                "linear_shift": 0,
                "seed": f"0 {name}",
            },
        }
        for name in HEADS
    }
    blocks = [
        {
            "name": name,
            "kind": "head",
            "cohorts": ["revocable"],
            "modalities": sorted(parse_availability(name)),
        }
        for name in HEADS
    ]
    core = {
        "name": "core",
        "kind": "core",
        "cohorts": ["foundation"],
        "modalities": ["audio", "text"],
    }
    modalities = [
        {"name": name, "width": 3, "maxLength": 1, "range": None, "derivedFrom": []}
        for name in ("audio", "text")
    ]
    moments = {"mean": [0.0, 0.5, -1.0], "std": [1.0, 1.0, 2.0]}
    scaler = {"steps": moments, "pooled": None, "weights": [1.0, 1.0, 1.0]}
    return {
        "schema": "urn:mbd:policy:v1",
        "trainingId": "01J00000000000000000000000",
        "dataset": {
            "name": "small",
            "task": {"kind": "regression", "labelRange": [-3.0, 3.0], "classes": []},
            "modalities": modalities,
            "cohorts": {"foundation": {"fraction": 0.4, "seed": 0}},
            "labelDerivedFrom": ["text"],
        },
        "core": "none",
        "coreDigest": None,
        "seed": 0,
        "scaler": {"audio": scaler, "text": scaler},
        "base": [0.0, 0.0],
        "heads": heads,
        "provenance": [core, *blocks],
        "plannedRows": 1000,
        "defaultEpsilon": 1.0,
        "defaultDelta": 1e-6,
        **changes,
    }


def head_bytes(steps: int, shape: tuple[int, int] = (D, K)) -> bytes:
    """A head in safetensors: eight bytes of length, header, one number, weights."""
    size = 8 * shape[0] * shape[1]
    header = {
        "noise_steps": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
        "weights": {"dtype": "I64", "shape": list(shape), "data_offsets": [8, 8 + size]},
    }
    text = json.dumps(header).encode() + b"  "
    return struct.pack("<Q", len(text)) + text + struct.pack("<q", steps) + bytes(size)


def files(steps: dict[str, int] | None = None, **changes: Any) -> dict[str, bytes]:
    noise = dict.fromkeys(HEADS, STEPS) | (steps or {})
    made = {f"heads/{name}.safetensors": head_bytes(noise[name]) for name in HEADS}
    return {"policy.json": dumps(policy(**changes)), **made}


def issued(
    tmp_path: Path,
    content: dict[str, bytes],
    *,
    exact: bool = False,
    retrained: bool = False,
    **changes: Any,
):
    """A certificate about these files, and the folder that holds them."""
    digests = tuple(FileDigest(path=p, sha256=sha256_hex(c)) for p, c in content.items())
    folder = tmp_path / "model"
    for path, data in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    if retrained:
        return make_world(retrained_outcome(model_after=digests, **changes)), folder
    if exact:
        return make_world(exact_outcome(model_after=digests, **changes)), folder
    made = {"heads": tuple(small(name) for name in SELECTED), **changes}
    return make_world(outcome(model_after=digests, **made)), folder


def judge(made: tuple[World, Path]) -> Report:
    world, folder = made
    return verify_bundle(world.data, world.trust, now=LATER, model_dir=folder, require="ARTIFACTS")


def code(report: Report) -> str:
    found = report.first_failed
    assert (report.exit_code == 1) == (found is not None)
    return found.code if found else "none"


NOISELESS = dict.fromkeys(SELECTED, 0)


def test_the_released_model_matches_its_certificate(tmp_path):
    report = judge(issued(tmp_path, files()))

    assert (report.exit_code, report.level_reached) == (0, "LOGGED+ARTIFACTS")


def test_an_exact_release_matches_its_certificate_beside_noised_heads(tmp_path):
    report = judge(issued(tmp_path, files(NOISELESS), exact=True))

    assert (report.exit_code, report.level_reached) == (0, "LOGGED+ARTIFACTS")


RECIPE = {
    "core": "auto",
    "seed": 0,
    "device": "auto",
    "network": {"hidden": 32, "dropout": 0.3},
    "heads": {"width": 256, "strong_convexity": "auto"},
    "epsilon": 1.0,
    "delta": 1e-6,
}


def test_a_retrained_model_matches_its_certificate(tmp_path):
    report = judge(issued(tmp_path, files(dict.fromkeys(HEADS, 0), recipe=RECIPE), retrained=True))

    assert (report.exit_code, report.level_reached) == (0, "LOGGED+ARTIFACTS")


def test_a_retraining_with_noise_in_any_head_or_without_a_recipe_is_refused(tmp_path):
    noisy = files(dict.fromkeys(SELECTED, 0), recipe=RECIPE)
    assert code(judge(issued(tmp_path / "noisy", noisy, retrained=True))) == "artifact.noise"
    bare = files(dict.fromkeys(HEADS, 0))
    assert code(judge(issued(tmp_path / "bare", bare, retrained=True))) == "policy.recipe"


def test_a_model_that_nothing_was_selected_in_may_carry_noise(tmp_path):
    made = issued(tmp_path, files(), exact=True, selected_heads=())

    assert judge(made).exit_code == 0


def test_a_model_with_a_file_changed_added_or_missing_does_not(tmp_path):
    world, folder = issued(tmp_path, files())
    kept = (folder / "policy.json").read_bytes()
    (folder / "policy.json").write_bytes(b"[]")
    assert code(judge((world, folder))) == "artifact.changed"
    (folder / "policy.json").write_bytes(kept)
    (folder / "old.safetensors").write_bytes(b"x")
    assert code(judge((world, folder))) == "artifact.extra"
    (folder / "old.safetensors").unlink()
    (folder / "heads/audio.safetensors").rename(tmp_path / "away")
    assert code(judge((world, folder))) == "artifact.missing"
    (tmp_path / "away").rename(folder / "heads/audio.safetensors")
    (folder / "policy.json").unlink()
    (tmp_path / "elsewhere").write_bytes(kept)
    (folder / "policy.json").symlink_to(tmp_path / "elsewhere")
    assert code(judge((world, folder))) == "artifact.changed"


def test_a_folder_that_is_no_model_says_nothing_against_the_certificate(tmp_path):
    world, folder = issued(tmp_path, files())

    report = judge((world, folder.parent))

    assert (report.checks[18].code, report.exit_code) == ("artifact.not_a_model", 3)
    assert f"perhaps {folder} was meant" in report.checks[18].reason
    (tmp_path / "policy.json").write_text("{}")  # of something else
    (folder / "policy.json").rename(tmp_path / "away")
    assert judge((world, folder)).checks[18].code == "artifact.not_a_model"


def test_altered_files_are_counted_and_the_folder_is_blamed(tmp_path):
    world, folder = issued(tmp_path, files())
    (folder / "heads/audio.safetensors").write_bytes(b"x")

    report = judge((world, folder))

    assert "1 of 4 files differ, heads/audio.safetensors first" in report.checks[18].reason
    assert "the folder is not the model of this certificate" in summary(report).splitlines()[-1]


def test_one_model_and_several_certificates(tmp_path):
    """It is required of those that are about it; without any of them, every one fails."""
    new, folder = issued(tmp_path, files())
    old, _ = issued(tmp_path / "old", files(more=1))
    given = {"now": LATER, "model_dir": folder}
    first, second = (verify_bundle(one.data, one.trust, **given) for one in (new, old))

    matched = settle([second, first])
    assert [one.exit_code for one in matched] == [0, 0]
    assert matched[0].checks[18].code == "artifact.other_release"
    assert matched[0].level_reached == "LOGGED"
    assert [one.exit_code for one in settle([second, second])] == [1, 1]


def test_exact_of_a_model_with_noise_is_refused(tmp_path):
    assert code(judge(issued(tmp_path, files(), exact=True))) == "artifact.noise"


@pytest.mark.parametrize("steps", [0, STEPS // 2, STEPS + 1])
def test_certified_of_a_head_without_its_noise_is_refused(tmp_path, steps):
    assert code(judge(issued(tmp_path, files({"audio": steps})))) == "artifact.noise"


def test_a_head_that_was_not_selected_has_no_noise_of_its_own(tmp_path):
    assert code(judge(issued(tmp_path, files({"text": 5})))) == "artifact.noise"


@pytest.mark.parametrize(
    "changes",
    [
        {"strong_convexity": 2.0**60, "sensitivity": 1e-20},
        {"sigma": 2.0**-3},
        {"grid": 2.0**-31},
        {"dimension": 5},
        {"outputs": 1},
    ],
)
def test_a_constant_other_than_the_policys_is_refused(tmp_path, changes):
    heads = (small("audio", **changes), small("audio+text"))

    assert code(judge(issued(tmp_path, files(), heads=heads))) == "policy.parameters"


def test_a_head_of_another_shape_is_refused(tmp_path):
    content = {**files(), "heads/text.safetensors": head_bytes(STEPS, (D, 1))}

    assert code(judge(issued(tmp_path, content))) == "artifact.head"


def changed(name: str, change) -> dict[str, Any]:
    made = policy()[name]
    change(made)
    return {name: made}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (changed("heads", lambda heads: heads.pop("text")), "policy.heads"),
        (changed("dataset", lambda d: d["modalities"].pop(0)), "policy.cascade"),
        (
            changed("dataset", lambda d: d["modalities"][1].update(derivedFrom=["audio"])),
            "policy.cascade",
        ),
        (changed("dataset", lambda d: d.update(labelDerivedFrom=["audio"])), "policy.labels"),
        (changed("provenance", lambda blocks: blocks.pop()), "policy.provenance"),
        (changed("provenance", lambda b: b[1].update(modalities=[])), "policy.provenance"),
        (
            changed(
                "provenance",
                lambda b: b[0].update(cohorts=["calibration", "foundation", "revocable"]),
            ),
            "policy.provenance",
        ),
        ({"heads": 3}, "policy.invalid"),
        ({"schema": "urn:something:else"}, "policy.invalid"),
    ],
)
def test_a_policy_that_refutes_the_claim_is_named(tmp_path, changes, expected):
    assert code(judge(issued(tmp_path, files(**changes)))) == expected


def test_a_policy_of_a_newer_version_is_undecided(tmp_path):
    report = judge(issued(tmp_path, files(schema="urn:mbd:policy:v2")))

    assert report.exit_code == 3


def test_nothing_but_the_two_tensors_of_a_head_is_read_as_one(tmp_path):
    path, good = tmp_path / "audio.safetensors", head_bytes(7)
    path.write_bytes(good)
    assert read_head(path).noise_steps == 7
    for bad in (
        b"",
        good[:-1],
        good + b"x",
        struct.pack("<Q", 1 << 62) + good[8:],
        good.replace(b"I64", b"F64"),
        good.replace(b"weights", b"weighty"),
        good.replace(b"[0, 8]", b"[8, 8]"),
        good.replace(b"[1]", b"[0]"),
        good.replace(b"[4, 2]", b"[2]   "),
        head_bytes(-1),
    ):
        path.write_bytes(bad)
        with pytest.raises(DataError):
            read_head(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.integers(0, len(head_bytes(7)) - 1), value=st.integers(0, 255))
def test_any_bytes_are_a_head_or_refused(tmp_path, position, value):
    content = bytearray(head_bytes(7))
    content[position] = value
    path = tmp_path / "audio.safetensors"
    path.write_bytes(bytes(content))
    try:
        found = read_head(path)
    except DataError:
        return
    assert (found.dimension * found.outputs, found.noise_steps >= 0) == (D * K, True)


EXTRA: dict[str, Callable[[dict[str, Any]], object]] = {
    "a policy": lambda p: p.update(note="x"),
    "a head": lambda p: p["heads"]["text"].update(note="x"),
    "constants": lambda p: p["heads"]["text"]["constants"].update(note="x"),
    "a scale": lambda p: p["heads"]["text"]["constants"]["scale"].update(note=1),
    "a feature map": lambda p: p["heads"]["text"]["featureMap"].update(note=1),
    "a data set": lambda p: p["dataset"].update(note=[]),
    "a task": lambda p: p["dataset"]["task"].update(note=[]),
    "a channel": lambda p: p["dataset"]["modalities"][0].update(note=[]),
    "cohorts": lambda p: p["dataset"]["cohorts"].update(note={}),
    "a cohort": lambda p: p["dataset"]["cohorts"]["foundation"].update(note=[]),
    "a block": lambda p: p["provenance"][0].update(note="x"),
    "a scaler": lambda p: p["scaler"]["text"].update(note=[]),
    "moments": lambda p: p["scaler"]["text"]["steps"].update(note=[]),
    "a recipe": lambda p: p["recipe"].update(note=0),
}

NEWER: dict[str, Callable[[dict[str, Any]], object]] = {
    "a setting of the core": lambda p: p["recipe"]["network"].update(note=0),
    "a setting of the heads": lambda p: p["recipe"]["heads"].update(note="x"),
    "a value of a setting": lambda p: p["recipe"]["network"].update(precision="float8"),
}


@pytest.mark.parametrize("name", EXTRA)
def test_a_policy_has_no_room_for_anything_else(tmp_path, name):
    made = policy(recipe=RECIPE)
    made = json.loads(json.dumps(made))
    parse_policy(dumps(made))
    EXTRA[name](made)
    content = {**files(), "policy.json": dumps(made)}
    assert code(judge(issued(tmp_path, content))) == "policy.invalid"


def test_settings_of_earlier_versions_are_read_in_recipes_too():
    former = {**RECIPE, "network": {"hidden": 32, "properties": 0.1, "consistency": 0.3}}
    parse_policy(dumps(json.loads(json.dumps(policy(recipe=former)))))


@pytest.mark.parametrize("name", NEWER)
def test_a_setting_of_a_newer_program_is_no_lie(tmp_path, name):
    made = json.loads(json.dumps(policy(recipe=RECIPE)))
    NEWER[name](made)

    report = judge(issued(tmp_path, {**files(), "policy.json": dumps(made)}))

    assert (report.checks[18].code, report.exit_code) == ("policy.version", 3)


def test_a_policy_is_written_in_one_way(tmp_path):
    content = {**files(), "policy.json": json.dumps(policy(), indent=1).encode()}
    assert code(judge(issued(tmp_path, content))) == "policy.invalid"


def test_every_member_that_training_writes_is_known():
    """The verifier's form of a policy is its own; it must not fall behind the engine's."""
    assert set(get_args(NetworkSetting)) == {one.name for one in fields(CoreSettings)}
    assert set(get_args(HeadSetting)) == set(HeadSettings.model_fields)
    assert ARCHITECTURE in ARCHITECTURES
    assert set(CONFIG_MEMBERS) == {one.name for one in fields(CoreConfig)}
    assert set(Features.model_fields) == {one.name for one in fields(FeatureMap)}
    assert set(Constants.model_fields) == {one.name for one in fields(HeadPolicy)}
    assert set(Scale.model_fields) == {one.name for one in fields(HeadScale)}


@pytest.fixture(scope="module")
def core(tmp_path_factory) -> tuple[dict[str, bytes], str]:
    """The files of a real core as training writes them, and what the policy calls it."""
    made = Core(CoreConfig(widths=(("audio", 5), ("text", 3)), kind="regression", outputs=K))
    folder = tmp_path_factory.mktemp("core")
    return {path.name: path.read_bytes() for path in save_core(made, folder)}, core_digest(made)


def test_the_core_is_the_one_that_the_policy_fixed(tmp_path, core):
    found, digest = core
    content = {**files(core="trained", coreDigest=digest), **found}
    assert judge(issued(tmp_path / "good", content)).exit_code == 0
    content = {**files(core="trained", coreDigest="0" * 64), **found}
    assert code(judge(issued(tmp_path / "other", content))) == "artifact.core"


def test_cores_of_before_there_were_several_architectures_are_read_too(tmp_path, core):
    found, digest = core
    former = found["core.json"].replace(b' "architecture": 2,\n', b"")
    assert former != found["core.json"]
    content = {**files(core="trained", coreDigest=digest), **found, "core.json": former}
    assert judge(issued(tmp_path, content)).exit_code == 0


def test_a_core_of_a_newer_architecture_is_no_lie(tmp_path, core):
    found, digest = core
    newer = found["core.json"].replace(b'ture": 2', b'ture": 3')
    content = {**files(core="trained", coreDigest=digest), **found, "core.json": newer}

    report = judge(issued(tmp_path, content))

    assert (report.checks[18].code, report.exit_code) == ("policy.version", 3)


def test_core_files_are_there_if_and_only_if_there_is_a_core(tmp_path, core):
    found, digest = core
    trained = files(core="trained", coreDigest=digest)
    cases = [
        {**files(), **found},
        {**files(), "core.json": b"{}", "core.safetensors": b"somebody's data"},
        trained,
        {**trained, "core.json": found["core.json"]},
        {**trained, "core.safetensors": found["core.safetensors"]},
    ]
    for number, content in enumerate(cases):
        assert code(judge(issued(tmp_path / str(number), content))) == "artifact.core"


def _with_header(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = change(content[8 : 8 + length])
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


SMUGGLED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "behind the tensors": ("core.safetensors", lambda c: c + b"data"),
    "instead": ("core.safetensors", lambda c: b"data"),
    "another weight": ("core.safetensors", lambda c: c[:-1] + bytes([c[-1] ^ 1])),
    "more spaces": ("core.safetensors", lambda c: _with_header(c, lambda h: h + b" " * 8)),
    "metadata": (
        "core.safetensors",
        lambda c: _with_header(c, lambda h: b'{"__metadata__":{"note":"x"},' + h[1:]),
    ),
    "a tensor of nothing": (
        "core.safetensors",
        lambda c: _with_header(
            c, lambda h: b'{"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},' + h[1:]
        ),
    ),
    "a member": ("core.json", lambda c: c.replace(b'"core": {', b'"core": {\n  "a": 1,')),
    "a member beside": ("core.json", lambda c: c.replace(b"{", b'{\n "a": 1,', 1)),
    "a line": ("core.json", lambda c: c + b"\n"),
    "an architecture": ("core.json", lambda c: c.replace(b'ture": 2', b'ture": "my"')),
    "the first architecture, said": ("core.json", lambda c: c.replace(b'ture": 2', b'ture": 1')),
    "another size": ("core.json", lambda c: c.replace(b'"hidden": 32', b'"hidden": 33')),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_nothing_is_hidden_in_the_files_of_a_core(tmp_path, core, name):
    found, digest = core
    path, change = SMUGGLED[name]
    assert change(found[path]) != found[path]
    content = {
        **files(core="trained", coreDigest=digest),
        **found,
        path: change(found[path]),
    }
    assert code(judge(issued(tmp_path, content))) == "artifact.core"
