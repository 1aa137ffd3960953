"""What may lie on the disk of a workspace, whatever killed its writer: every file accounted for."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy

from mbd.canonical.digest import b64decode_strict
from mbd.database.journal import Journal
from mbd.deletion.check import check_head
from mbd.head.integers import Ints
from mbd.head.long_integers import places_of
from mbd.head.solve import residual, solve
from mbd.head.state import HeadState
from mbd.workflows.plans import count_rows, plan_request, removed_rows
from mbd.workflows.staging import subtract
from tests.workspaces import TrainedWorkspace, describe, must_run

MODALITY = "audio"
_PIECE = 4  # consecutive numbers that no file holds by chance

_ID = "[0-9A-Z]{26}"
_HEADS = r"\.?[a-z+]+\.safetensors(\.partial)?"
_BUCKETS = r"\.?(manifest\.json|bucket-\d{6}\.\d{8}\.parquet)(\.partial)?"
KNOWN = tuple(
    re.compile(pattern)
    for pattern in (
        r"\.lock|mbd\.toml|trust\.toml|(ledger|secrets)\.db(-wal|-shm)?",
        r"keys/(issuer\.pem|log\.pem|workspace\.key)",
        rf"(certs|receipts)/\.?{_ID}\.json(\.partial)?",
        rf"models/{_ID}/(\.?policy\.json(\.partial)?|heads/{_HEADS})",
        rf"state/{_ID}/{_HEADS}",
        r"data/\.?training\.json(\.partial)?",
        rf"data/(store|prepared/{_ID})/{_BUCKETS}",
        rf"staging/{_ID}/\.?erase-\d{{6}}\.json(\.partial)?",
    )
)


SPEC = """\
task = "regression"
label = "label"
label_range = [-3.0, 3.0]
record_id = "record"
subject = "who"
split = { array = "split", train = 0, valid = 1, test = 2 }
foundation = { fraction = 0.4, seed = 1 }
[modalities]
text = ["text"]
audio = ["audio"]
vision = ["vision"]
"""


def copy_of(original: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> TrainedWorkspace:
    """Another copy of the trained workspace, where one is not enough for a test."""
    shutil.copytree(original, folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    return describe(folder / "service")


def archive(workspace: TrainedWorkspace) -> Path:
    """Two more records of the first revocable person; the spec lies beside it."""
    folder, user = workspace.root.parent, workspace.revocable[0]
    generator = np.random.default_rng(0)
    arrays = {
        name: generator.normal(size=(2, steps, width)).astype(np.float32)
        for name, steps, width in (("text", 4, 24), ("audio", 5, 12), ("vision", 6, 16))
    }
    np.savez(
        folder / "more.npz",
        label=np.array([0.5, -0.5]),
        record=np.array(["more-1", "more-2"]),
        who=np.array([user, user]),
        split=np.array([0, 0]),
        **arrays,
    )
    (folder / "more.toml").write_text(SPEC)
    return folder / "more.npz"


def revoke(user: str, *more: str) -> list[str]:
    """The command line that these tests are about."""
    return ["revoke", "--user", user, "--modality", MODALITY, "--json", *more]


def stage_of(workspace: TrainedWorkspace) -> str:
    """How far the one request is that is open; 'completed' if none is."""
    found = stages_of(workspace)
    assert len(found) <= 1
    return found[0] if found else "completed"


def stages_of(workspace: TrainedWorkspace) -> list[str]:
    """How far every request is that is open."""
    with workspace.session().database.read() as connection:
        return [request.stage for request in Journal(connection).open_requests()]


@dataclass(frozen=True, eq=False)
class Optimum:
    """One head before its noise: what no file may ever hold."""

    state: HeadState
    weights: Ints


@dataclass(frozen=True, eq=False)
class Secrets:
    """Optima of every head with the subjects' channel and without it."""

    before: dict[str, Optimum]
    after: dict[str, Optimum]


def secrets_of(workspace: TrainedWorkspace, *users: str) -> Secrets:
    """Computed here, in memory, from the workspace as it is before the requests."""
    session = workspace.session()
    model, state, schema = session.model(), session.state(), session.store().schema
    prepared = session.prepared(model.policy.training_id)
    counts = count_rows(prepared, users)
    details = [{"subject": user, "modalities": [MODALITY]} for user in users]
    plans = [plan_request(model, schema, detail, counts, "auto") for detail in details]
    held = {name: state.load(name) for name in model.policy.heads}
    selected = {name: held[name] for decided in plans for name in decided.selected}
    after, _ = subtract(model.policy, selected, removed_rows(prepared, details))

    def optima(states: dict[str, HeadState]) -> dict[str, Optimum]:
        heads = model.policy.heads
        return {
            name: Optimum(one, solve(one, heads[name].constants.scale, heads[name].constants.grid))
            for name, one in states.items()
        }

    return Secrets(optima(held), optima(after))


def assert_nothing_unnoised(workspace: TrainedWorkspace, secrets: Secrets) -> int:
    """Every file is one we know, heads carry their noise, no optimum lies anywhere.

    Returns:
        How many released heads were found and checked.
    """
    files = [path for path in sorted(workspace.root.rglob("*")) if path.is_file()]
    contents = {path: path.read_bytes() for path in files}  # before a database is opened
    for path in files:
        name = path.relative_to(workspace.root).as_posix()
        assert any(pattern.fullmatch(name) for pattern in KNOWN), f"what is {name}?"
    heads = [path for path in files if path.parent.name == "heads" and path.name[0] != "."]
    noise = [_assert_head(workspace, path, secrets) for path in heads]
    for path in files:
        if path.parent.parent == workspace.root / "state" and path.name[0] != ".":
            assert set(safetensors.numpy.load_file(path)) == {"cross", "gram", "rows"}
    forbidden = [*_forbidden(workspace, secrets), *(p for z in noise for p in _pieces(z))]
    for path, content in contents.items():
        for piece in forbidden:
            assert piece not in content, f"{path} holds a head, factor or residual without noise"
    return len(heads)


def _assert_head(workspace: TrainedWorkspace, path: Path, secrets: Secrets) -> Ints:
    """A released head is its optimum (before or after) plus noise of its sigma; the noise."""
    name = path.name.removesuffix(".safetensors")
    tensors = safetensors.numpy.load_file(path)
    assert set(tensors) == {"weights", "noise_steps"}
    constants = workspace.session().model().policy.heads[name].constants
    assert int(tensors["noise_steps"][0]) == round(constants.sigma / constants.grid)
    candidates = [found[name] for found in (secrets.before, secrets.after) if name in found]
    fitting = [
        one
        for one in candidates
        if check_head(
            one.state,
            constants.scale,
            tensors["weights"],
            grid=constants.grid,
            sigma=constants.sigma,
        ).passed
    ]
    assert fitting, f"{path} is not an optimum plus its noise"
    difference = np.asarray(tensors["weights"] - fitting[-1].weights)
    assert np.count_nonzero(difference) > 0.99 * difference.size
    return difference


def _forbidden(workspace: TrainedWorkspace, secrets: Secrets) -> Iterator[bytes]:
    """Bytes of every optimum, as integers and in label units, of its residual and its factor."""
    heads = workspace.session().model().policy.heads
    for found in (secrets.before, secrets.after):
        for name, one in found.items():
            constants = heads[name].constants
            scale, grid = constants.scale, constants.grid
            left = residual(one.state, scale, places_of(one.weights), round(log2(grid)))
            matrix = one.state.gram * scale.a + scale.strong_convexity * np.eye(one.state.width)
            for numbers in (
                one.weights,
                one.weights * grid,
                left.in_units_of(0),
                np.linalg.cholesky(matrix)[-1],
            ):
                yield from _pieces(numbers)


def _pieces(numbers: npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> Iterator[bytes]:
    """A few runs of consecutive numbers, as they would lie in a file."""
    flat = np.ascontiguousarray(numbers).reshape(-1)
    for start in range(0, flat.size - _PIECE, flat.size // 3):
        yield flat[start : start + _PIECE].tobytes()


def assert_finished_once(workspace: TrainedWorkspace, user: str, *, attempts: int = 1) -> Any:
    """One certificate, one entry, everything in its place; the certificate's statement."""
    (stated,) = assert_finished(workspace, [user], attempts=attempts)
    return stated


def assert_finished(
    workspace: TrainedWorkspace,
    users: Sequence[str],
    *,
    attempts: int = 1,
    cancelled: int = 0,
) -> list[Any]:
    """A certificate and an entry each, one release for all, everything in its place.

    Args:
        workspace: Where nothing else was revoked.
        users: Who revoked the one channel.
        attempts: How often noise was drawn, which every certificate must state.
        cancelled: How many requests were given up.

    Returns:
        What the certificates state, oldest first.
    """
    root = workspace.root
    bundles, receipts = sorted((root / "certs").iterdir()), sorted((root / "receipts").iterdir())
    assert [path.name for path in bundles] == [path.name for path in receipts]
    assert len(bundles) == len(users)
    entries = must_run(root, "ledger", "list", "--json").json["entries"]
    count = Counter(entry["type"] for entry in entries)
    assert (count["certificate"], count["attempt"]) == (len(users), attempts)
    assert count["cancel"] == cancelled
    assert must_run(root, "ledger", "check", "--json").json["ok"]
    for bundle, receipt in zip(bundles, receipts, strict=True):
        ran = must_run(root, "verify", str(bundle), "--receipt", str(receipt), "--json")
        assert ran.json["exitCode"] == 0
    assert must_run(root, "state", "check", "--json").json["equal"]
    assert_nothing_left(workspace, *users)
    stated = [predicate_of(bundle) for bundle in bundles]
    assert [one["guarantee"]["attempts"] for one in stated] == [attempts] * len(users)
    return stated


def predicate_of(bundle: Path) -> Any:
    """What a certificate states."""
    envelope = json.loads(bundle.read_bytes())["envelope"]
    return json.loads(b64decode_strict(envelope["payload"]))["predicate"]


def assert_nothing_left(workspace: TrainedWorkspace, *users: str) -> None:
    """No folder but those in force, no channel in the store, no detail in a database."""
    root, session = workspace.root, workspace.session()
    model, state = session.model(), session.state()
    assert [path.name for path in (root / "models").iterdir()] == [model.snapshot.model_id]
    assert [path.name for path in (root / "state").iterdir()] == [state.state_id]
    assert [path.name for path in (root / "data" / "prepared").iterdir()] == [
        model.policy.training_id
    ]
    assert list((root / "staging").iterdir()) == []
    store = session.store()
    assert all(value is None for value in store.read(subjects=users).x[MODALITY])
    prepared = session.prepared(model.policy.training_id)
    for user in users:
        assert not any(MODALITY in head for head in prepared.rows_of(user))
    in_force = {path.name for path in store.files()}
    assert {path.name for path in (root / "data" / "store").iterdir()} == in_force
    for path in root.glob("*.db*"):
        content = path.read_bytes()
        for kept in (b"modelAfter", b'"subject"'):
            assert kept not in content, f"{path} still holds a request"
