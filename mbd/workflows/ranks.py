"""Preparing rows and summing the state with several processes (`torchrun -m mbd train`).

The first rank does everything that looks at data to choose, trains the core, writes and
commits. The others get policy and core from it, prepare the rows of their buckets, give them
to the first, which stores them, and sum them. The state is the integer all-reduce of these
sums: the same, bit for bit, for any number of ranks. A rank that fails ends all, and nothing is
in force before the state is whole.

Gradients are not shared out. Cores are small, and float sums would come in another order for
another number of ranks: so the core, too, is the one that a single process trains.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from safetensors.torch import load, save

from mbd.canonical.digest import sha256_file
from mbd.data.buckets import MANIFEST
from mbd.data.prepared import Bucket, PreparedStore, decode_rows, encode_rows
from mbd.data.records import Suppressions
from mbd.data.store import Store
from mbd.errors import IntegrityError
from mbd.head.accelerator import working_on
from mbd.head.state import HeadState, state_digest
from mbd.model.core import Core, CoreConfig
from mbd.model.inference import Extractor
from mbd.model.scaling import Scaler
from mbd.model.snapshot import core_digest, freeze
from mbd.training.distributed import Ranks
from mbd.values import nonempty_subsets
from mbd.workflows.design import Design
from mbd.workflows.policy import Policy
from mbd.workflows.rows import learning_rows, prepare
from mbd.workflows.session import Session
from mbd.workflows.sums import sum_rows
from mbd.workspace.layout import Workspace
from mbd.workspace.settings import load_settings

Progress = Callable[[int, int], None]


def build_with(
    ranks: Ranks,
    session: Session,
    store: Store,
    design: Design,
    create: Callable[[Iterator[tuple[int, Bucket]]], PreparedStore],
    progress: Progress,
) -> dict[str, HeadState]:
    """The first rank's part: store everybody's rows, sum its own, add up.

    Args:
        ranks: All processes.
        session: With the workspace's lock held.
        store: The data.
        design: Policy and core.
        create: Stores rows, bucket by bucket.
        progress: Told how far it is.

    Raises:
        TemporaryError: Another process is gone.
    """
    _share_design(ranks, session, design)
    suppressed = session.suppressions

    def rows() -> Iterator[tuple[int, Bucket]]:
        for bucket in store.buckets():
            progress(bucket, len(store.buckets()))
            if ranks.owns(bucket):
                yield bucket, _rows_of(suppressed, store, design, bucket)
            else:
                yield bucket, decode_rows(ranks.receive(ranks.owner(bucket)))

    stored = create(rows())
    own = (stored.read_bucket(bucket) for bucket in store.buckets() if ranks.owns(bucket))
    return _added_up(ranks, sum_rows(design.policy, own))


def help_to_build(workspace: Workspace, ranks: Ranks) -> None:
    """The part of every other rank; it writes nothing.

    Raises:
        IntegrityError: It sees another workspace than the first rank, or makes another sum.
        TemporaryError: Another process is gone.
    """
    session = Session(workspace, load_settings(workspace))
    with working_on(session.settings.device):
        design = _shared_design(ranks, session)
        store, suppressed = session.store(), session.suppressions

        def own() -> Iterator[Bucket]:
            for bucket in store.buckets():
                if ranks.owns(bucket):
                    rows = _rows_of(suppressed, store, design, bucket)
                    ranks.send(encode_rows(rows))
                    yield rows

        _added_up(ranks, sum_rows(design.policy, own()))


def _rows_of(suppressed: Suppressions, store: Store, design: Design, bucket: int) -> Bucket:
    records = store.read_bucket(bucket).unsuppressed(suppressed)
    return prepare(design.extractor, design.policy, learning_rows(design.policy, records))


def _added_up(ranks: Ranks, own: Mapping[str, HeadState]) -> dict[str, HeadState]:
    """The sum over all ranks; all of them must have the same."""
    total = {}
    for name in sorted(own):
        state = own[name]
        gram, cross, rows = ranks.sum([state.gram, state.cross, np.array([state.rows])])
        total[name] = HeadState(gram, cross, int(rows[0]))
    digest = state_digest(total)
    if ranks.share(digest.encode()).decode() != digest:
        raise IntegrityError(f"rank {ranks.rank} has another sum than the first", code="ranks.sum")
    return total


def _share_design(ranks: Ranks, session: Session, design: Design) -> None:
    core = design.core
    ranks.share(sha256_file(session.store_folder / MANIFEST).encode())
    ranks.share(design.policy.to_bytes())
    ranks.share(b"" if core is None else json.dumps(core.config.to_json()).encode())
    ranks.share(b"" if core is None else save(dict(core.state_dict())))


def _shared_design(ranks: Ranks, session: Session) -> Design:
    """What the first rank designed; waits for it.

    Raises:
        IntegrityError: This rank sees other data.
    """
    data = ranks.share().decode()
    policy = Policy.from_bytes(ranks.share())
    config, weights = ranks.share(), ranks.share()
    if data != sha256_file(session.store_folder / MANIFEST):
        raise IntegrityError(
            f"rank {ranks.rank} sees other data than the first at {session.workspace.root}",
            code="ranks.data",
            hint="every rank needs the same workspace, on a file system that all of them see",
        )
    core = None
    if config:
        core = Core(CoreConfig.from_json(json.loads(config)))
        core.load_state_dict(load(weights))
        if core_digest(core) != policy.core_digest:
            raise IntegrityError(f"rank {ranks.rank} got another core", code="ranks.core")
        freeze(core)
    family = list(nonempty_subsets(policy.schema.names))
    extractor = Extractor(Scaler.from_json(policy.scaler), family, core, policy.base)
    return Design(policy, core, extractor)
