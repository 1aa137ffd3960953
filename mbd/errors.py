"""Errors of the project: what happened, where, and what to do about it.

Each class is one exit code of the command line (`verify` has codes of its own).
Anything raised that is not an `MbdError` is a defect and leaves with 70.
"""

from __future__ import annotations


class MbdError(Exception):
    """An error with a stable code; subclasses set the exit code.

    Args:
        message: What happened, in one sentence, naming the value at fault.
        code: Stable dotted identifier for programs; defaults to the class's.
        field: Where it happened: an option, a key of a file, a record and field.
        hint: What the reader can do next.
    """

    code = "error"
    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.field = field
        self.hint = hint


class DataError(MbdError):
    """Input data or a spec that cannot be used; names record and field."""

    code = "data.invalid"


class IntegrityError(MbdError):
    """Something stored is torn, altered or not what its digest says."""

    code = "integrity"


class VersionError(MbdError):
    """Made by another version of the program: a newer one, unless its code says otherwise."""

    code = "version.newer"


class ArithmeticRefused(MbdError):
    """A theorem's assumption does not hold: NaN, overflow, unreachable tolerance."""

    code = "arithmetic.refused"


class StorageError(MbdError):
    """The disk refused: full, read-only or failing."""

    code = "storage"


class UsageError(MbdError):
    """The command was called in a way it does not have."""

    code = "usage"
    exit_code = 2


class NotFoundError(MbdError):
    """An unknown user, modality, record, request or certificate."""

    code = "not_found"
    exit_code = 4


class RefusedError(MbdError):
    """Policy says no: a tainted block, a cohort that needs retraining."""

    code = "refused"
    exit_code = 5


class ConflictError(MbdError):
    """The world is already in another state: exists, revoked, same id with other content."""

    code = "conflict"
    exit_code = 6


class TemporaryError(MbdError):
    """Nothing is wrong with the request: try again."""

    code = "temporary"
    exit_code = 7
