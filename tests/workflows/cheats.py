"""Engines that cheat and sign: each is the honest one with one function replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import mbd.deletion.release as release_module
import mbd.workflows.certify as certify_module
import mbd.workflows.papers as papers_module
import mbd.workflows.release as release_workflow
import mbd.workflows.snapshots as snapshots_module
import mbd.workflows.stage as stage_module
import mbd.workflows.staging as staging_module
import mbd.workflows.steps as steps_module
from mbd.canonical.digest import sha256_hex
from mbd.canonical.items import root_of_items
from mbd.canonical.tree import leaf_hash, tree_root
from mbd.certificate.issue import LoggedPolicy
from mbd.data.erasure import BucketErasure, ErasePlan, erase_bucket
from mbd.data.items import items_of
from mbd.data.prepared import PreparedRows, PreparedStore
from mbd.data.records import Records
from mbd.data.store import Store
from mbd.deletion.surgical import Rounded
from mbd.head.integers import Ints
from mbd.head.solve import HeadScale, solve
from mbd.head.state import HeadState
from mbd.privacy.accountant import noise_steps, sensitivity_of
from mbd.values import FileDigest
from mbd.workflows.policy import Policy
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, ReleasedHead
from mbd.workflows.staging import Release

Patch = pytest.MonkeyPatch
Cheat = Callable[[Patch, Session], None]


def _nothing(*arguments: Any, **options: Any) -> None:
    """A check that is not made."""


def _blind(patch: Patch) -> None:
    """The engine's own checks are off."""
    patch.setattr(stage_module, "check_taint", _nothing)
    patch.setattr(staging_module, "refuse_unchanged", _nothing)
    patch.setattr(steps_module, "_refuse_found", _nothing)
    patch.setattr(steps_module, "_checked_root", lambda session, batch: session.store().root())


def old_heads(patch: Patch, session: Session) -> None:
    """State and rows are changed, the heads are those of before."""
    _blind(patch)
    snapshot, honest = session.model().snapshot, staging_module._release
    held = {name: snapshot.head(name) for name in session.model().policy.heads}

    def released(
        policy: Policy, states: Mapping[str, HeadState], release: Release
    ) -> tuple[dict[str, ReleasedHead], Any]:
        return {n: held[n] for n in release.selected}, honest(policy, states, release)[1]

    patch.setattr(staging_module, "_release", released)


def tolerance_of_nothing(patch: Patch, session: Session) -> None:
    """A tolerance so small that epsilon is 0, beside a release that is honest otherwise."""
    honest = staging_module._release

    def released(
        policy: Policy, states: Mapping[str, HeadState], release: Release
    ) -> tuple[dict[str, ReleasedHead], Any]:
        heads, parameters = honest(policy, states, release)
        return heads, tuple(
            replace(
                one,
                tolerance=1e-30,
                sensitivity=sensitivity_of(1e-30, one.strong_convexity),
            )
            for one in parameters
        )

    patch.setattr(staging_module, "_release", released)


def policy_never_announced(patch: Patch, session: Session) -> None:
    """Another lambda in a policy of its own, which the certificate binds and the log never saw."""
    made: list[bytes] = []
    honest, derive = staging_module._release, snapshots_module.derive_model

    def released(
        policy: Policy, states: Mapping[str, HeadState], release: Release
    ) -> tuple[dict[str, ReleasedHead], Any]:
        heads = dict(policy.heads)
        for name in release.selected:
            constants = heads[name].constants
            scale = replace(
                constants.scale, strong_convexity=4096 * constants.scale.strong_convexity
            )
            heads[name] = replace(heads[name], constants=replace(constants, scale=scale))
        bent = replace(policy, heads=heads)
        made.append(bent.to_bytes())
        return honest(bent, states, release)

    def derived(*arguments: Any) -> Any:
        return _with_files(derive(*arguments), {"policy.json": made[-1]})

    def logged(session: Session, index: int) -> LoggedPolicy:
        return LoggedPolicy(index=0, leaf_hash="ab" * 32, digest=sha256_hex(made[-1]))

    patch.setattr(stage_module, "check_taint", _nothing)
    patch.setattr(staging_module, "_release", released)
    patch.setattr(staging_module, "derive_model", derived)
    patch.setattr(certify_module, "_logged_policy", logged)


def data_in_the_model(patch: Patch, session: Session) -> None:
    """A file of the data store under the name of a core, in a model that has none."""
    derive = snapshots_module.derive_model
    content = next((session.workspace.root / "data" / "store").rglob("*.parquet")).read_bytes()

    def derived(*arguments: Any) -> Any:
        files = {"core.safetensors": content, "core.json": b"{}"}
        return _with_files(derive(*arguments), files)

    patch.setattr(stage_module, "check_taint", _nothing)
    patch.setattr(steps_module, "_refuse_found", _nothing)
    patch.setattr(staging_module, "derive_model", derived)


def _with_files(model: ModelSnapshot, files: Mapping[str, bytes]) -> ModelSnapshot:
    digests = {file.path: file for file in model.files}
    for path, content in files.items():
        (model.folder / path).unlink(missing_ok=True)
        (model.folder / path).write_bytes(content)
        digests[path] = FileDigest(path=path, sha256=sha256_hex(content))
    return replace(model, files=tuple(digests[path] for path in sorted(digests)))


def noise_times(factor: float) -> Cheat:
    """Noise of another size under the same name."""

    def cheat(patch: Patch, session: Session) -> None:
        honest = release_module.release

        def released(rounded: Rounded, sigma: float, entropy: object) -> Ints:
            noise = honest(rounded, sigma) - rounded.weights
            scaled: Ints = np.rint(noise * factor).astype(np.int64)
            return rounded.weights + scaled

        patch.setattr(release_module, "release", released)

    return cheat


def noise_of(numbers: Callable[[int], np.ndarray]) -> Cheat:
    """Standard normal numbers by a recipe of our own, scaled as they should be."""

    def cheat(patch: Patch, session: Session) -> None:
        def released(rounded: Rounded, sigma: float, entropy: object) -> Ints:
            steps = numbers(rounded.weights.size) * noise_steps(sigma, rounded.grid)
            noise: Ints = np.rint(steps).astype(np.int64).reshape(rounded.weights.shape)
            return rounded.weights + noise

        patch.setattr(release_module, "release", released)

    return cheat


def noise_beside_the_records(patch: Patch, session: Session) -> None:
    """Noise of the right size that leaves the leading half of the state's directions alone.

    So predictions hardly change, and nothing is hidden.
    """
    honest, state_of, grams = release_module.release, release_module.surgical_update, list[Ints]()

    def update(state: HeadState, scale: HeadScale, **how: float) -> Rounded:
        grams.append(state.gram)
        return state_of(state, scale, **how)

    def released(rounded: Rounded, sigma: float, entropy: object) -> Ints:
        noise = (honest(rounded, sigma) - rounded.weights).astype(np.float64)
        others = np.linalg.eigh(grams[-1].astype(np.float64)).eigenvectors[:, : len(noise) // 2]
        turned = others @ (others.T @ noise) * np.sqrt(len(noise) / others.shape[1])
        weights: Ints = rounded.weights + np.rint(turned).astype(np.int64)
        return weights

    patch.setattr(release_module, "surgical_update", update)
    patch.setattr(release_module, "release", released)


def another_lambda(patch: Patch, session: Session) -> None:
    """A head that is the optimum of another objective than the policy announced."""

    def scaled(scale: HeadScale) -> HeadScale:
        return replace(scale, strong_convexity=4 * scale.strong_convexity)

    def update(state: HeadState, scale: HeadScale, *, tolerance: float, grid: float) -> Rounded:
        return Rounded(solve(state, scaled(scale), grid), grid)

    patch.setattr(release_module, "surgical_update", update)
    patch.setattr(
        release_workflow,
        "exact_update",
        lambda state, scale, grid: solve(state, scaled(scale), grid),
    )


def doctored_state(patch: Patch, session: Session) -> None:
    """A state that holds something else than the rows: heads and commitment follow it."""
    honest = staging_module.subtract

    def subtract(*arguments: Any) -> tuple[dict[str, HeadState], dict[str, int]]:
        after, rows = honest(*arguments)
        return {n: replace(state, cross=state.cross + 1) for n, state in after.items()}, rows

    patch.setattr(staging_module, "subtract", subtract)


def did_nothing(patch: Patch, session: Session) -> None:
    """Fresh noise on the old state: rows and records stay, and the papers say so of themselves."""
    _blind(patch)

    def keep(
        policy: Policy, states: Mapping[str, HeadState], removed: object
    ) -> tuple[dict[str, HeadState], dict[str, int]]:
        return dict(states), dict.fromkeys(states, 1)

    patch.setattr(staging_module, "subtract", keep)
    patch.setattr(steps_module, "erase_bucket", _nothing)


def kept_records(patch: Patch, session: Session) -> None:
    """The model forgets, the data store does not."""
    _blind(patch)

    def erase(store: Store, prepared: Sequence[PreparedStore], planned: BucketErasure) -> None:
        held = store.read_bucket(planned.bucket)
        erase_bucket(store, prepared, planned)
        store.replace_bucket(planned.bucket, held)

    patch.setattr(steps_module, "erase_bucket", erase)


def kept_rows(patch: Patch, session: Session) -> None:
    """The records are erased, the rows that the state was made of are not."""
    _blind(patch)
    patch.setattr(steps_module, "erase_bucket", _erase_records_only)


def rows_renamed(patch: Patch, session: Session) -> None:
    """Kept under a neighbour's name, and still learned from."""
    _blind(patch)
    _keep_sums(patch)

    def erase(store: Store, prepared: Sequence[PreparedStore], planned: BucketErasure) -> None:
        kept = [one.read_bucket(planned.bucket) for one in prepared]
        _erase_records_only(store, prepared, planned)
        for one, rows in zip(prepared, kept, strict=True):
            renamed = {head: _rename_rows(found, planned) for head, found in rows.items()}
            one.write_bucket(planned.bucket, renamed)

    patch.setattr(steps_module, "erase_bucket", erase)


def rows_carried(patch: Patch, session: Session) -> None:
    """Kept bit for bit, each as that of somebody's test record, which learning is said to use."""
    _blind(patch)
    _keep_sums(patch)
    commit_to_what_fits(patch)

    def erase(store: Store, prepared: Sequence[PreparedStore], planned: BucketErasure) -> None:
        (plan,), kept = planned.plans, [one.read_bucket(planned.bucket) for one in prepared]
        erase_bucket(store, prepared, planned)
        held = store.read_bucket(planned.bucket)
        whole = [i for i in range(len(held)) if len(held.availability(i)) == len(held.x)]
        free = (i for i in whole if held.subjects[i] != plan.subject and held.splits[i] != "train")
        mine = {
            r for rows in kept for f in rows.values() for r in f.of_subject(plan.subject).record_ids
        }
        carrier = dict(zip(sorted(mine), free, strict=False))
        used = set(carrier.values())
        splits = tuple("train" if i in used else split for i, split in enumerate(held.splits))
        store.replace_bucket(planned.bucket, replace(held, splits=splits))
        for one, rows in zip(prepared, kept, strict=True):
            moved = {h: _carried(found, plan, carrier, held) for h, found in rows.items()}
            one.write_bucket(planned.bucket, moved)

    patch.setattr(steps_module, "erase_bucket", erase)


def _carried(
    rows: PreparedRows, plan: ErasePlan, carrier: Mapping[str, int], held: Records
) -> PreparedRows:
    to = [carrier[r] if s == plan.subject else -1
          for r, s in zip(rows.record_ids, rows.subjects, strict=True)]  # fmt: skip
    names = (held.record_ids, held.subjects)
    ids, who = (
        tuple(name[i] if i >= 0 else old for i, old in zip(to, before, strict=True))
        for name, before in zip(names, (rows.record_ids, rows.subjects), strict=True)
    )
    return PreparedRows(ids, who, rows.v, rows.t)


def commit_to_what_fits(patch: Patch) -> None:
    """The data set of before is said to be what is stored now, and what the receipt lists."""
    honest = certify_module.sign_certificate

    def sign(session: Session, request: Any, outcome: Any, erased: Any, issuing: Any) -> Any:
        store, items = session.store(), list(erased.items)
        roots = [
            leaf_hash(root_of_items((*items_of(store.read_bucket(b)), *(items if b == 0 else ()))))
            for b in store.buckets()
        ]
        outcome = replace(outcome, dataset_before=tree_root(roots).hex())
        return honest(session, request, outcome, erased, issuing)

    patch.setattr(papers_module, "sign_certificate", sign)


def records_renamed(patch: Patch, session: Session) -> None:
    """Records and rows are kept whole under a neighbour's name."""
    _renamed(patch, lambda records: records)


def records_laundered(patch: Patch, session: Session) -> None:
    """The same with new ids and new salts: only the values are what they were."""
    _renamed(patch, _new_ids_and_salts)


def _renamed(patch: Patch, disguise: Callable[[Records], Records]) -> None:
    _blind(patch)
    _keep_sums(patch)

    def erase(store: Store, prepared: Sequence[PreparedStore], planned: BucketErasure) -> None:
        (plan,) = planned.plans
        held = store.read_bucket(planned.bucket)
        neighbour = _neighbour(held.subjects, plan.subject)
        mine = held.where(subjects=[plan.subject])
        rest = held.select(i for i, s in enumerate(held.subjects) if s != plan.subject)
        moved = disguise(replace(mine, subjects=(neighbour,) * len(mine)))
        new = dict(zip(mine.record_ids, moved.record_ids, strict=True))
        store.replace_bucket(planned.bucket, Records.concat([rest, moved]))
        for one in prepared:
            rows = one.read_bucket(planned.bucket)
            one.write_bucket(
                planned.bucket,
                {
                    head: _rename_rows(found, planned, neighbour, new)
                    for head, found in rows.items()
                },
            )

    patch.setattr(steps_module, "erase_bucket", erase)


def _keep_sums(patch: Patch) -> None:
    """The state stays that of the rows, whoever they are said to be of."""

    def keep(
        policy: Policy, states: Mapping[str, HeadState], removed: object
    ) -> tuple[dict[str, HeadState], dict[str, int]]:
        return dict(states), dict.fromkeys(states, 1)

    patch.setattr(staging_module, "subtract", keep)


def _erase_records_only(
    store: Store, prepared: Sequence[PreparedStore], planned: BucketErasure
) -> None:
    erase_bucket(store, [], planned)


def _rename_rows(
    rows: PreparedRows,
    planned: BucketErasure,
    neighbour: str | None = None,
    new: Mapping[str, str] | None = None,
) -> PreparedRows:
    (plan,) = planned.plans
    name = neighbour or _neighbour(rows.subjects, plan.subject)
    return PreparedRows(
        tuple((new or {}).get(record, record) for record in rows.record_ids),
        tuple(name if subject == plan.subject else subject for subject in rows.subjects),
        rows.v,
        rows.t,
    )


def _neighbour(subjects: Sequence[str], subject: str) -> str:
    return next(name for name in subjects if name != subject)


def _new_ids_and_salts(records: Records) -> Records:
    ids = tuple(f"x{number:03}" for number in range(len(records)))
    none = (None,) * len(records)
    return replace(records, record_ids=ids, salts=dict.fromkeys(records.x, none))
