"""A workspace in Python: the same steps as the commands, with values instead of text.

    from mbd import Workspace

    service = Workspace.open(".")
    done = service.revoke("42", "audio")
    assert service.verify(done.bundle).verdict == "valid"

Every method opens the workspace for itself, as a command does: it finishes what a crash left,
holds the lock while it writes, and keeps nothing open. So a value of this class may be kept as
long as one likes, and others may use the workspace meanwhile. What a command would exit with is
an exception here (`mbd.MbdError` and its subclasses); what it notes on stderr goes to the
logger "mbd". Nothing is imported before it is used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mbd.errors import UsageError
from mbd.workspace import layout

if TYPE_CHECKING:
    import numpy.typing as npt

    from mbd.data.summary import Description, SubjectSummary
    from mbd.deletion.plan import Method
    from mbd.evaluation.outcome import Evaluation
    from mbd.head.accelerator import Device
    from mbd.verify.report import Level, Report
    from mbd.workflows.exported import Export
    from mbd.workflows.predict import Prediction
    from mbd.workflows.resume import Resumed
    from mbd.workflows.revoke import Preview, Revocation
    from mbd.workflows.session import Session
    from mbd.workflows.state_check import StateCheck
    from mbd.workflows.train import TrainReport

File = str | PathLike[str]
Progress = Callable[[int, int], None]
"""Called with (done, total)."""
Note = Callable[[str], None]


def _silent(done: int, total: int) -> None:
    """Reports no progress."""


class Workspace:
    """One service: its data, model, keys, ledger and certificates."""

    def __init__(self, folder: File, *, note: Note | None = None) -> None:
        """The workspace at exactly `folder`; `open` looks above it too.

        Args:
            folder: Where `mbd.toml` is.
            note: Told what a command notes on stderr; the logger "mbd" by default.

        Raises:
            NotFoundError: It is none.
            VersionError: A newer version made it.
        """
        self._layout = layout.open_workspace(Path(folder))
        self._note = note or logging.getLogger("mbd").info

    @classmethod
    def open(cls, folder: File = ".", *, note: Note | None = None) -> Self:
        """The nearest workspace at or above `folder`, as commands find it."""
        return cls(layout.find_workspace(Path(folder)).root, note=note)

    @classmethod
    def init(cls, folder: File, *, issuer: str | None = None, note: Note | None = None) -> Self:
        """Make one, with keys that are not encrypted: `mbd init`.

        Args:
            folder: Where; it must not exist, or be empty.
            issuer: The name in certificates; one of the workspace's own by default.
            note: As above.

        Raises:
            ConflictError: There is something already.
        """
        from mbd.workflows.initialise import initialise

        return cls(initialise(Path(folder), issuer=issuer).workspace.root, note=note)

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"

    @property
    def root(self) -> Path:
        """Its folder."""
        return self._layout.root

    def data_info(self) -> Description:
        """What is held, in numbers: `mbd data info`."""
        with self._session() as session:
            return session.store().describe(session.suppressions)

    def subjects(self) -> list[SubjectSummary]:
        """Everybody who is held, with cohort and channels: `mbd data subjects`."""
        with self._session() as session:
            return session.store().subjects(suppressions=session.suppressions)

    def train(
        self,
        *,
        core: str = "auto",
        seed: int = 0,
        device: Device | None = None,
        settings: Mapping[str, object] | None = None,
        metrics: File | None = None,
        checkpoints: File | None = None,
        progress: Progress = _silent,
    ) -> TrainReport:
        """Train a model and make it current: `mbd train`.

        Args:
            core: 'auto', 'trained' or 'none'.
            seed: Of the core and of the public frequencies.
            device: 'auto', 'cpu' or 'cuda'; None: as `mbd.toml` says.
            settings: What `--set` sets, e.g. `{"heads.width": 512}`.
            metrics: File for the curves, JSON lines.
            checkpoints: Folder that lets a killed training go on when it is repeated.
            progress: Called with (done, total).
        """
        from mbd.workflows.train import TrainOptions, train_model

        texts = {str(name): str(value) for name, value in (settings or {}).items()}
        options = TrainOptions(
            core=core,
            overrides=texts,
            seed=seed,
            device=device,
            metrics=None if metrics is None else Path(metrics),
            checkpoints=None if checkpoints is None else Path(checkpoints),
        )
        with self._session(write=True) as session:
            return train_model(session, options, note=self._note, progress=progress)

    def predict(
        self,
        record: str | None = None,
        *,
        input: Mapping[str, npt.NDArray[Any]] | File | None = None,
        user: str | None = None,
        without: Iterable[str] = (),
    ) -> Prediction:
        """Predict from the channels that may be used: `mbd predict`.

        Args:
            record: A record of the store; or
            input: arrays by modality, (steps, width) or (width,), or an `.npz` of them.
            user: Whose input it is: with `input` it is needed, to honour revocations.
            without: Channels to leave out.
        """
        from mbd.workflows.predict import predict_arrays, predict_input, predict_record

        if (record is None) == (input is None):
            raise UsageError("give either a record or an input", field="record")
        if record is None and not user:
            raise UsageError("whose input is it? revocations are honoured by that", field="user")
        with self._session() as session:
            if record is not None:
                return predict_record(session, record, user=user, without=without)
            assert user is not None, "checked above"
            if isinstance(input, Mapping):
                return predict_arrays(session, input, user=user, without=without)
            return predict_input(session, Path(str(input)), user=user, without=without)

    def evaluate(
        self,
        *protocols: str,
        split: str = "test",
        cohort: str = "all",
        metrics: str = "auto",
        seed: int = 0,
        progress: Progress = _silent,
    ) -> Evaluation:
        """Measure the model while channels are missing; 'subsets' by default: `mbd eval`."""
        from mbd.workflows.evaluate import Question, evaluate_model

        question = Question(
            protocols=protocols or ("subsets",),
            split=split,
            cohort=cohort,
            metrics=metrics,
            seed=seed,
        )
        with self._session() as session:
            return evaluate_model(session, question, progress=progress)

    def save_pretrained(self, folder: File, evaluation: Evaluation | None = None) -> Export:
        """Write the model for use without the workspace: `mbd model export`.

        Args:
            folder: Where; it must not exist, and lie outside the workspace.
            evaluation: From `evaluate`, for the model card.
        """
        from mbd.workflows.export_model import export_model

        with self._session() as session:
            return export_model(session, Path(folder), evaluation)

    def revoke(
        self,
        user: str,
        *modalities: str,
        method: Method = "auto",
        epsilon: float | None = None,
        delta: float | None = None,
        request_id: str | None = None,
        progress: Progress = _silent,
    ) -> Revocation:
        """Remove channels of one person, and certify it: `mbd revoke`.

        Args:
            user: The id that the data set uses.
            modalities: Names, or 'all' alone.
            method: 'auto', 'surgical', 'exact' or 'retrain'.
            epsilon, delta: Privacy loss granted; None: as `mbd.toml` says.
            request_id: Asking again with it is harmless and gives the same certificate.
            progress: Called with (done, total).

        Raises:
            NotFoundError: No such user, modality, or channel of this user; no model.
            RefusedError: A block saw the data that cannot subtract it: use 'retrain'.
            ConflictError: Revoked before, or the request id was used for something else.
        """
        from mbd.workflows.resolve import RevocationRequest, Terms
        from mbd.workflows.revoke import revoke_modality

        terms = Terms(method=method, epsilon=epsilon, delta=delta)
        request = RevocationRequest(subject=_id(user), modalities=modalities, request_id=request_id)
        with self._session(write=True) as session:
            return revoke_modality(session, request, terms, progress=progress, note=self._note)

    def preview(
        self,
        user: str,
        *modalities: str,
        method: Method = "auto",
        epsilon: float | None = None,
        delta: float | None = None,
    ) -> Preview:
        """What `revoke` would do; changes nothing: `mbd revoke --dry-run`."""
        from mbd.workflows.opening import open_to_look
        from mbd.workflows.resolve import RevocationRequest, Terms
        from mbd.workflows.revoke import preview_revocation

        terms = Terms(method=method, epsilon=epsilon, delta=delta)
        request = RevocationRequest(subject=_id(user), modalities=modalities)
        with open_to_look(self._layout, note=self._note) as session:
            return preview_revocation(session, request, terms)

    def resume(self, *, progress: Progress = _silent) -> Resumed:
        """Finish what a crash left and what waits for a retraining: `mbd resume`."""
        from mbd.workflows.opening import open_session
        from mbd.workflows.resume import finish_interrupted

        with open_session(self._layout, write=True, finish=False) as session:
            return finish_interrupted(session, queued=True, progress=progress, note=self._note)

    def state_check(
        self, *, receipt: File | None = None, progress: Progress = _silent
    ) -> StateCheck:
        """Is the model what the retained data says? `mbd state check`; see `.ok`."""
        from mbd.certificate.receipt import parse_receipt
        from mbd.workflows.state_check import check_state

        opening = None if receipt is None else parse_receipt(Path(receipt).read_bytes())
        with self._session(write=True) as session:
            return check_state(session, progress, receipt=opening)

    def verify(
        self,
        certificate: File,
        *,
        trust: File | None = None,
        receipt: File | None = None,
        model: File | None = None,
        require: Level | None = None,
    ) -> Report:
        """Check a certificate offline: `mbd verify --no-memory`; see `.verdict`.

        Args:
            certificate: The bundle.
            trust: Whom to believe; this workspace's own file by default, which is to trust
                oneself.
            receipt: The subject's receipt, to open the commitments.
            model: Folder with the released files.
            require: Level to reach; LOGGED by default.
        """
        from mbd.certificate.bundle import MAX_BUNDLE_BYTES
        from mbd.certificate.receipt import MAX_RECEIPT_BYTES
        from mbd.verify import load_trust, verify_bundle
        from mbd.verify.reading import read_regular

        opening = None if receipt is None else read_regular(Path(receipt), MAX_RECEIPT_BYTES)
        return verify_bundle(
            read_regular(Path(certificate), MAX_BUNDLE_BYTES),
            load_trust(self._layout.trust_file if trust is None else Path(trust)),
            model_dir=None if model is None else Path(model),
            receipt=opening,
            require=require,
        )

    def _session(self, *, write: bool = False) -> AbstractContextManager[Session]:
        from mbd.workflows.opening import open_session

        return open_session(self._layout, write=write, note=self._note)


def _id(user: str) -> str:
    """A person's id is text, also where it looks like a number."""
    if not isinstance(user, str):
        raise UsageError(f"user {user!r}: want the id as text", field="user")
    return user
