"""Training: design on the foundation, announce the policy, sum everybody's rows, release.

The new model becomes current in one transaction: killed before it, training has changed
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mbd.canonical.ulid import new_ulid
from mbd.database import models, pointers
from mbd.deletion.parameters import head_parameters
from mbd.errors import UsageError
from mbd.head.accelerator import Device, working_on
from mbd.training.distributed import Ranks
from mbd.training.observer import Nobody
from mbd.values import HeadParameters
from mbd.workflows.design import CORE_FILES
from mbd.workflows.fit import Note, Progress, fit, record_duration, write_fitted
from mbd.workflows.leftovers import remove_leftovers
from mbd.workflows.metrics_file import MetricsFile
from mbd.workflows.recipe import Recipe
from mbd.workflows.release import release_with_noise
from mbd.workflows.session import Session
from mbd.workflows.snapshots import ModelSnapshot, StateSnapshot, write_state
from mbd.workspace.files import remove_file, storage_errors
from mbd.workspace.settings import load_settings

CORES = ("auto", "trained", "none")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What the command line says about a training run."""

    core: str = "auto"
    overrides: Mapping[str, str]
    """Dotted setting to text."""
    seed: int = 0
    device: Device | None = None
    """Where cores are trained and large products and factors made; None: as the settings say."""
    metrics: Path | None = None
    """File for the curves, as JSON lines; None: they are not kept."""
    checkpoints: Path | None = None
    """Folder where cores are kept while they are trained: a training that was killed and is
    repeated with it goes on where it was, to the same core. Removed at the end."""

    def __post_init__(self) -> None:
        if self.core not in CORES:
            raise UsageError(f"core {self.core!r}: want {', '.join(CORES)}", field="--core")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed {self.seed}: want 0 to 2^63 - 1", field="--seed")


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """A finished training run."""

    model: str
    state: str
    """Digest of the state."""
    core: str
    width: int
    heads: tuple[tuple[str, HeadParameters, int], ...]
    """(name, parameters at the default request, rows) of each head."""
    policy_entry: int
    seconds: float


def train_model(
    session: Session,
    options: TrainOptions,
    *,
    note: Note = lambda text: None,
    progress: Progress = lambda done, total: None,
    ranks: Ranks | None = None,
) -> TrainReport:
    """Train a model on what the workspace holds and make it current.

    With several processes, call it in the first, and `help_to_build` in the others.

    Raises:
        NotFoundError: There is no data.
        RefusedError: Nothing may be learned from: no training rows.
        UsageError: A setting is unknown or out of range.
    """
    started = time.perf_counter()
    settings = load_settings(session.workspace, options.overrides)
    device = options.device or settings.device
    recipe = Recipe.of(settings, core=options.core, seed=options.seed, device=device)
    checkpoints = _Checkpoints(options.checkpoints)
    curves = None
    if options.metrics is not None:
        curves = MetricsFile.open(options.metrics, resume=options.checkpoints is not None)
    with working_on(device):
        trained = _train(session, recipe, started, note, progress, curves, checkpoints, ranks)
    if curves is not None:
        curves.heads(trained.core, trained.heads, trained.seconds)
    checkpoints.remove()
    return trained


@dataclass(frozen=True)
class _Checkpoints:
    """Where cores are kept while they are trained, if anywhere."""

    folder: Path | None

    def made(self) -> Path | None:
        """The folder; private, since what is in it was learned from people."""
        if self.folder is not None:
            with storage_errors(self.folder):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.folder

    def remove(self) -> None:
        """What is in it served its purpose."""
        for path in self._files():
            remove_file(path)

    def _files(self) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return [path for path in map(self.folder.joinpath, CORE_FILES) if path.exists()]


def _train(
    session: Session,
    recipe: Recipe,
    started: float,
    note: Note,
    progress: Progress,
    curves: MetricsFile | None,
    checkpoints: _Checkpoints,
    ranks: Ranks | None,
) -> TrainReport:
    fitted = fit(
        session,
        recipe,
        new_ulid(datetime.now(UTC)),
        checkpoints=checkpoints.made(),
        note=note,
        progress=progress,
        watch=lambda name: Nobody() if curves is None else curves.stage(name),
        ranks=ranks,
    )
    policy, states = fitted.policy, fitted.states
    parameters = head_parameters(
        [head.constants for head in policy.heads.values()], recipe.epsilon, recipe.delta
    )
    heads = release_with_noise(policy, states, parameters)
    model = write_fitted(session, fitted, new_ulid(datetime.now(UTC)), heads)
    state = write_state(session.workspace.state, new_ulid(datetime.now(UTC)), states)
    seconds = time.perf_counter() - started
    record_duration(session, seconds)
    _activate(session, model, state, fitted.policy_entry)
    return TrainReport(
        model=model.model_id,
        state=state.digest,
        core=policy.core,
        width=max(head.constants.dimension for head in policy.heads.values()),
        heads=tuple((head.head, head, states[head.head].rows) for head in parameters),
        policy_entry=fitted.policy_entry,
        seconds=seconds,
    )


def _activate(
    session: Session, model: ModelSnapshot, state: StateSnapshot, policy_entry: int
) -> None:
    """Make them current, then remove what no pointer names any more."""
    with session.database.transaction() as connection:
        pointers.set(connection, "model", model.to_pointer())
        pointers.set(connection, "state", state.to_pointer())
        models.add(connection, model.model_id, policy_entry, model.digest, datetime.now(UTC))
    remove_leftovers(session)
