"""What killed or failed writers left behind: folders that no pointer names, files of no manifest.

They may hold what somebody revokes later, so they go before anything new is begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mbd.errors import IntegrityError, NotFoundError, VersionError
from mbd.workflows.restoration import is_unfinished
from mbd.workflows.session import Session, interrupted
from mbd.workflows.snapshots import remove_folder


def remove_leftovers(session: Session) -> None:
    """Remove every model, state, set of prepared rows and staging that is not in force.

    Call it with the workspace's lock held. Nothing is removed while a request is interrupted or a
    restore unfinished, which need what they staged, or while what is in force is damaged: the
    rest may help to mend it.
    """
    if interrupted(session) or is_unfinished(session.workspace):
        return
    try:
        doomed = list(_unnamed(session))
        if session.has_data():
            session.store().sweep()
    except (IntegrityError, NotFoundError, VersionError):
        return
    for folder in doomed:
        remove_folder(folder)


def _unnamed(session: Session) -> Iterator[Path]:
    workspace = session.workspace
    keep: dict[Path, str | None] = {workspace.staging: None}
    if session.find_model() is None:
        keep |= dict.fromkeys((workspace.models, workspace.state, session.prepared_root))
    else:
        model = session.model()
        keep[workspace.models] = model.snapshot.model_id
        keep[workspace.state] = session.state().state_id
        keep[session.prepared_root] = model.policy.training_id
        session.prepared(model.policy.training_id).sweep()
    for parent, current in keep.items():
        if parent.is_dir():
            yield from (folder for folder in sorted(parent.iterdir()) if folder.name != current)
