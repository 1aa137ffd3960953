"""The files of a certificate's model in a workspace, found by their digests; and its heads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mbd.canonical.digest import sha256_file
from mbd.certificate.model_parts import POLICY_FILE
from mbd.certificate.statement import Predicate
from mbd.errors import DataError, IntegrityError, MbdError
from mbd.model.inference import Extractor
from mbd.model.scaling import Scaler
from mbd.model.snapshot import load_core
from mbd.values import FileDigest, parse_availability
from mbd.verify.artifacts import CORE_FILES, check_core, check_policy
from mbd.verify.case import Case, CheckFailed, Undecided
from mbd.verify.core_file import WEIGHTS_FILE as CORE_WEIGHTS
from mbd.verify.head_file import read_head
from mbd.verify.model_files import file_digest
from mbd.verify.model_policy import ModelPolicy, parse_policy
from mbd.workflows.policy import Policy
from mbd.workflows.reproduce.doubts import busy
from mbd.workflows.reproduce.files import reading
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
    others: tuple[str, ...]
    """Models in the workspace that are not the certificate's, file by file."""

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
        with self._at_rest(POLICY_FILE):
            content = self._snapshot(POLICY_FILE).read(POLICY_FILE)
        stated = parse_policy(content)  # closed: what `Policy` does not read has no place there
        check_policy(predicate, stated)
        self._check_core(stated)
        try:
            return _checked(Policy.from_bytes(content))
        except MbdError as error:
            raise CheckFailed(error.message, code="policy.invalid") from error

    def _check_core(self, policy: ModelPolicy) -> None:
        """The files of the core hold the core that the policy fixed, and nothing else."""
        own = CORE_FILES & self.digests.keys()
        folders = {self.found[path] for path in own & self.found.keys()}
        if own <= self.found.keys() and len(folders) < 2:
            folder = next(iter(folders), self.found[POLICY_FILE])
            with self._at_rest(*own):
                try:
                    check_core(policy, own, folder)
                except DataError as error:
                    raise CheckFailed(error.message, code="artifact.core") from error
        elif own <= self.found.keys():
            raise Undecided("the core lies in two models", code="reproduce.incomplete")

    def extractor(self, policy: Policy) -> Extractor:
        """What makes rows of records: the policy's scaling, and its core.

        Raises:
            Undecided: It cannot be made here (`reproduce.unreadable`), or the core is not here
                (`reproduce.incomplete`).
        """
        core, family = None, [parse_availability(name) for name in policy.heads]
        if policy.core == "trained":
            if not self.found.keys() >= CORE_FILES:
                raise Undecided("the core is not here", code="reproduce.incomplete")
            folder = self.found[CORE_WEIGHTS]
            with self._at_rest(*CORE_FILES), reading(folder):
                core = load_core(folder)
        with reading(self.found[POLICY_FILE]):
            return Extractor(Scaler.from_json(policy.scaler), family, core, policy.base)

    def head(self, name: str) -> ReleasedHead:
        """A released head.

        Raises:
            CheckFailed: The file that the certificate names is not one (`artifact.head`).
        """
        with self._at_rest(head_file(name)):
            try:
                return self._snapshot(head_file(name)).head(name)
            except IntegrityError as error:
                raise CheckFailed(error.message, code="artifact.head") from error

    @contextlib.contextmanager
    def _at_rest(self, *paths: str) -> Iterator[None]:
        """What was the certificate's a moment ago, and is another file now, accuses nobody.

        Raises:
            Undecided: With code `reproduce.unfinished`.
        """
        try:
            yield
        except (MbdError, OSError, CheckFailed, Undecided) as error:
            for path in paths:
                with reading(self.found[path]):
                    now = file_digest(self.found[path], path)
                if now != self.digests[path]:
                    raise busy(f"{path} changed while it was read") from error
            raise

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
                if file_digest(folder, path) == digest:
                    found.setdefault(path, folder)
                elif (folder / path).is_file():
                    _refuse_torn(folder / path)
        others = tuple(one.name for one in folders if _is_other(one, digests))
    heads = frozenset(name for name in predicate.guarantee.heads if head_file(name) in found)
    return ReleasedFiles(found, digests, heads, len(folders) == 1, others)


def _is_other(folder: Path, digests: Mapping[str, str]) -> bool:
    """Whether a folder holds files, and not exactly these."""
    paths = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    if not paths:
        return False
    return paths.keys() != digests.keys() or any(
        sha256_file(path) != digests[name] for name, path in paths.items()
    )


def _refuse_torn(path: Path) -> None:
    """A head with other content is another head; one without an end is only damaged."""
    if path.parent.name == HEADS_FOLDER:
        try:
            read_head(path)
        except DataError as error:
            raise Undecided(f"{path} is torn", code="reproduce.unreadable") from error


def _checked(policy: Policy) -> Policy:
    for name, design in policy.heads.items():
        if design.feature_map.width != design.constants.dimension:
            raise CheckFailed(f"head {name} has another width", code="policy.invalid")
    return policy
