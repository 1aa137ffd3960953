"""ARTIFACTS, check 19: the files given are the certificate's, and say what it says.

The digests come first; then the policy and the heads, which the ledger and the manifest bind,
are held against what is claimed about them: constants, noise, channels.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Set
from fractions import Fraction
from pathlib import Path

from mbd.canonical.numbers import from_decimal
from mbd.certificate.model_parts import POLICY_FILE, check_heads, check_model
from mbd.certificate.scope import OUT_OF_SCOPE
from mbd.certificate.statement import Parameters, Predicate
from mbd.certificate.wording import is_retrained
from mbd.errors import StorageError, UsageError
from mbd.values import COHORTS, parse_availability
from mbd.verify.case import Case, CheckFailed, Undecided
from mbd.verify.core_file import CONFIG_FILE as CORE_CONFIG
from mbd.verify.core_file import WEIGHTS_FILE as CORE_WEIGHTS
from mbd.verify.core_file import core_digest
from mbd.verify.head_file import read_head
from mbd.verify.model_files import file_digest
from mbd.verify.model_policy import MAX_POLICY_BYTES, Constants, ModelPolicy, parse_policy
from mbd.verify.reading import read_regular

CORE_FILES = frozenset({CORE_WEIGHTS, CORE_CONFIG})
"""Files that a model has if it has a core."""


def artifacts(case: Case) -> str:
    """19. The folder holds the files of the manifest, and they agree with the claim."""
    predicate = case.statement.predicate
    if case.model_dir is None:
        raise Undecided("no model was given", code="model.missing")
    stated = {file.path: file.sha256 for file in predicate.deletion.model_after.files}
    with _reading(case.model_dir):
        _check_folder(case.model_dir, stated)
        _check_files(case.model_dir, stated)
    check_model(case.statement)
    check_heads(predicate)
    with _reading(case.model_dir):
        policy = parse_policy(read_regular(case.model_dir / POLICY_FILE, MAX_POLICY_BYTES))
        check_policy(predicate, policy)
        check_core(policy, set(stated), case.model_dir)
        check_noise(predicate, policy, case.model_dir)
    return f"{len(stated)} files; constants and noise are those of the claim"


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """A file that cannot be read says nothing of the certificate.

    Raises:
        Undecided: With code `storage`.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise Undecided(f"{where}: {error.strerror or error}", code="storage") from error
    except (StorageError, UsageError) as error:
        raise Undecided(error.message, code="storage") from error


def check_policy(predicate: Predicate, policy: ModelPolicy) -> None:
    """The policy has these heads with these constants, and channels and provenance agree.

    Raises:
        CheckFailed: `policy.heads`, `policy.parameters`, `policy.cascade`, `policy.labels`,
            `policy.provenance`, `policy.recipe`.
    """
    guarantee, revoked = predicate.guarantee, set(predicate.deletion.modalities)
    if set(policy.heads) != set(guarantee.heads):
        raise CheckFailed("the policy has other heads than the model", code="policy.heads")
    for head in guarantee.parameters:
        _check_parameters(head, policy.heads[head.head].constants)
    unknown = revoked - {one.name for one in policy.dataset.modalities}
    forgotten = policy.cascade(revoked) - revoked
    for names, why in ((unknown, "is no channel"), (forgotten, "was made from a revoked one")):
        if names:
            raise CheckFailed(f"{', '.join(sorted(names))} {why}", code="policy.cascade")
    labels = revoked & set(policy.dataset.label_derived_from)
    stated = [(place.what, place.reason) for place in predicate.deletion.out_of_scope]
    if (("labels", OUT_OF_SCOPE["labels"]["declared"]) in stated) != bool(labels):
        raise CheckFailed("labels are declared otherwise in the policy", code="policy.labels")
    _check_provenance(policy, revoked)
    if is_retrained(guarantee) and not policy.recipe:
        raise CheckFailed("the policy holds no recipe to train again by", code="policy.recipe")


def check_core(policy: ModelPolicy, files: Set[str], folder: Path) -> None:
    """The core is the one that the policy fixed; without one there are no files of it.

    Raises:
        CheckFailed: `artifact.core`.
        DataError: A file holds something else than a core, or something beside it
            (`artifact.core`).
    """
    trained = policy.core == "trained"
    here = CORE_FILES & files
    if here != (CORE_FILES if trained else frozenset()):
        raise CheckFailed(
            f"the policy's core is {policy.core!r}, its files here: {', '.join(sorted(here)) or 0}",
            code="artifact.core",
        )
    if trained and core_digest(folder) != policy.core_digest:
        raise CheckFailed("the core is not the one that the policy fixed", code="artifact.core")
    if not trained and policy.core_digest is not None:
        raise CheckFailed("the policy has a digest of no core", code="policy.invalid")


def check_noise(predicate: Predicate, policy: ModelPolicy, folder: Path) -> None:
    """The heads have the policy's shape, and the noise that the class says.

    Raises:
        CheckFailed: `artifact.head`, `artifact.noise`.
        DataError: A file is not that of a head (`artifact.head`).
    """
    guarantee = predicate.guarantee
    for name in guarantee.heads:
        constants = policy.heads[name].constants
        found = read_head(folder / "heads" / f"{name}.safetensors")
        if (found.dimension, found.outputs) != (constants.dimension, constants.outputs):
            raise CheckFailed(f"head {name} has another shape", code="artifact.head")
        noise = found.noise_steps * Fraction(constants.grid)
        allowed = {Fraction(0), Fraction(constants.sigma)}
        if name in guarantee.selected_heads and guarantee.guarantee_class == "exact":
            allowed = {Fraction(0)}
        elif name in guarantee.selected_heads and guarantee.guarantee_class == "certified":
            allowed = {Fraction(constants.sigma)}
        if noise not in allowed:
            raise CheckFailed(
                f"head {name} has noise {float(noise):.6g}, but "
                f"{' or '.join(f'{float(one):.6g}' for one in sorted(allowed))} belongs to "
                f"{guarantee.guarantee_class}",
                code="artifact.noise",
            )


def _check_parameters(stated: Parameters, constants: Constants) -> None:
    """Five constants of a head; the sixth, tau, belongs to the request."""
    convexity = from_decimal(stated.strong_convexity)
    pairs = {
        "dimension": (stated.dimension, constants.dimension),
        "outputs": (stated.outputs, constants.outputs),
        "strongConvexity": (convexity, constants.scale.strong_convexity),
        "sigma": (from_decimal(stated.sigma), constants.sigma),
        "grid": (from_decimal(stated.grid), constants.grid),
    }
    for field, (claimed, fixed) in pairs.items():
        if claimed != fixed:
            raise CheckFailed(
                f"{field} of head {stated.head} is {claimed}, the policy says {fixed}",
                code="policy.parameters",
            )


def _check_provenance(policy: ModelPolicy, revoked: set[str]) -> None:
    """Declared provenance covers the heads, and leaves somebody whom it does not taint."""
    heads = {one.name: set(one.modalities) for one in policy.provenance if one.kind == "head"}
    if heads != {name: set(parse_availability(name)) for name in policy.heads}:
        raise CheckFailed("the heads are declared otherwise", code="policy.provenance")
    for block in policy.provenance:
        if (
            block.kind != "head"
            and set(block.cohorts) >= set(COHORTS)
            and revoked & set(block.modalities)
        ):
            raise CheckFailed(
                f"{block.name} learned a revoked modality from everybody", code="policy.provenance"
            )


def _check_folder(folder: Path, stated: dict[str, str]) -> None:
    """Return if this is the folder of some model: any other says nothing of the certificate.

    Raises:
        Undecided: `artifact.not_a_model`.
    """
    if os.path.lexists(folder / POLICY_FILE) and any((folder / path).exists() for path in stated):
        return
    inside = next(iter(sorted(folder.glob(f"*/{POLICY_FILE}"))), None)
    hint = f"; perhaps {inside.parent} was meant" if inside else ""
    raise Undecided(f"--model: no {POLICY_FILE} in {folder}{hint}", code="artifact.not_a_model")


def _check_files(folder: Path, stated: dict[str, str]) -> None:
    found = _files(folder)
    for path in sorted(stated.keys() - found):
        raise CheckFailed(f"{path} is missing", code="artifact.missing")
    for path in sorted(found - stated.keys()):
        raise CheckFailed(f"{path} is not in the manifest", code="artifact.extra")
    changed = [path for path, digest in stated.items() if file_digest(folder, path) != digest]
    if changed:
        raise CheckFailed(
            f"{len(changed)} of {len(stated)} files differ, {changed[0]} first; a later release "
            "differs too, only files kept from then can match",
            code="artifact.changed",
        )


def _files(folder: Path) -> set[str]:
    """Relative paths of everything that is not a folder; links are not followed."""
    return {
        (Path(parent) / name).relative_to(folder).as_posix()
        for parent, folders, files in os.walk(folder)
        for name in [*files, *(one for one in folders if (Path(parent) / one).is_symlink())]
    }


def _refuse(error: OSError) -> None:
    """What cannot be listed is not missing."""
    raise error
