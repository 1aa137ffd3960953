"""The files of a certificate's model in a workspace, found by their digests; and its heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mbd.canonical.digest import sha256_file
from mbd.certificate.rules import POLICY_FILE
from mbd.certificate.statement import Predicate
from mbd.deletion.check import check_head
from mbd.errors import DataError, IntegrityError, MbdError
from mbd.head.state import HeadState
from mbd.privacy.accountant import noise_steps
from mbd.values import FileDigest
from mbd.verify.artifacts import check_policy
from mbd.verify.case import Case, CheckFailed, Undecided
from mbd.verify.head_file import read_head
from mbd.verify.model_policy import parse_policy
from mbd.workflows.policy import Policy
from mbd.workflows.reproduce_data import reading
from mbd.workflows.snapshots import HEADS_FOLDER, ModelSnapshot, ReleasedHead, head_file


@dataclass(frozen=True)
class ReleasedFiles:
    """Where the files of a certificate's model are, as far as they are here."""

    found: Mapping[str, Path]
    """Folder of a model that holds the file, by path in the manifest."""
    digests: Mapping[str, str]
    """What the certificate says of every file."""
    heads: frozenset[str]
    """Heads whose files are here."""
    alone: bool
    """Whether one model is here and nothing else: then it is the one in force."""

    @property
    def missing(self) -> frozenset[str]:
        """Paths of files that are not here."""
        return frozenset(self.digests.keys() - self.found.keys())

    def policy(self, predicate: Predicate) -> Policy | None:
        """The policy of the model, which the certificate binds; None if it is not here.

        Raises:
            CheckFailed: It is not one (`policy.invalid`), or says otherwise than the
                certificate (`policy.*`).
            Undecided: A newer version wrote it (`policy.version`).
        """
        if POLICY_FILE not in self.found:
            return None
        content = self._snapshot(POLICY_FILE).read(POLICY_FILE)
        check_policy(predicate, parse_policy(content))
        try:
            return _checked(Policy.from_bytes(content))
        except MbdError as error:
            raise CheckFailed(error.message, code="policy.invalid") from error

    def head(self, name: str) -> ReleasedHead:
        """A released head.

        Raises:
            CheckFailed: The file that the certificate names is not one (`artifact.head`).
        """
        try:
            return self._snapshot(head_file(name)).head(name)
        except IntegrityError as error:
            raise CheckFailed(error.message, code="artifact.head") from error

    def _snapshot(self, path: str) -> ModelSnapshot:
        folder = self.found[path]
        file = FileDigest(path=path, sha256=self.digests[path])
        return ModelSnapshot(folder.name, folder, (file,))


def find_released(models: Path, case: Case) -> ReleasedFiles:
    """Look for the model of a certificate among those of a workspace, and where --model says.

    Raises:
        Undecided: There is none at all (`reproduce.incomplete`), or a file cannot be read or is
            torn (`reproduce.unreadable`).
    """
    predicate = case.statement.predicate
    digests = {file.path: file.sha256 for file in predicate.deletion.model_after.files}
    found: dict[str, Path] = {}
    with reading(models):
        folders = sorted(one for one in models.iterdir() if one.is_dir()) if models.is_dir() else []
        given = [] if case.model_dir is None else [case.model_dir]
        if not folders + given:
            raise Undecided("the workspace holds no model", code="reproduce.incomplete")
        for folder in folders + given:
            for path, digest in digests.items():
                location = folder / path
                if not location.is_file():
                    continue
                if sha256_file(location) == digest:
                    found.setdefault(path, folder)
                else:
                    _refuse_torn(location)
    heads = frozenset(name for name in predicate.guarantee.heads if head_file(name) in found)
    return ReleasedFiles(found, digests, heads, alone=len(folders) == 1)


def _refuse_torn(path: Path) -> None:
    """A head with other content is another head; one without an end is only damaged."""
    if path.parent.name == HEADS_FOLDER:
        try:
            read_head(path)
        except DataError as error:
            raise Undecided(f"{path} is torn", code="reproduce.unreadable") from error


def check_released(
    predicate: Predicate, policy: Policy, released: ReleasedHead, name: str, state: HeadState
) -> str | None:
    """Hold a head against the optimum of its state; what is wrong with it, or None.

    Lambda, units and grid are those of the policy, which the certificate repeats; the noise is
    what the certificate states for the heads that it replaced, and for the others what their
    files say, if the policy allows it.

    Raises:
        CheckFailed: It declares other noise than it may (`artifact.noise`), or has another
            shape than the policy says (`artifact.head`).
        ArithmeticRefused: The optimum cannot be computed.
    """
    constants = policy.heads[name].constants
    if released.weights.shape != (constants.dimension, constants.outputs):
        raise CheckFailed(f"head {name} has another shape", code="artifact.head")
    noisy = noise_steps(constants.sigma, constants.grid)
    guarantee, allowed = predicate.guarantee, {0, noisy}
    if name in guarantee.selected_heads:
        allowed = {noisy} if guarantee.guarantee_class == "certified" else {0}
    if released.noise_steps not in allowed:
        raise CheckFailed(
            f"head {name} declares noise of {released.noise_steps} grid steps, not of "
            f"{' or '.join(map(str, sorted(allowed)))}",
            code="artifact.noise",
        )
    found = check_head(
        state,
        constants.scale,
        released.weights,
        grid=constants.grid,
        sigma=constants.sigma if released.noise_steps else None,
    )
    return None if found.passed else found.detail


def _checked(policy: Policy) -> Policy:
    for name, design in policy.heads.items():
        if design.feature_map.width != design.constants.dimension:
            raise CheckFailed(f"head {name} has another width", code="policy.invalid")
    return policy
