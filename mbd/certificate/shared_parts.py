"""Parts of a certificate that many share: validated once, as long as they are the same.

The certificates of one model repeat the words of their theorem, their stores and their
constants. What a part is validated to depends on its content alone, and a validated part
cannot be changed; so the last ones are kept, under the bytes of what they were made from.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from pydantic import ValidatorFunctionWrapHandler, WrapValidator

P = ParamSpec("P")

_PARTS = 64
_LONGEST = 16_384
"""Bytes of a part that is kept; so all of them together take a few megabytes at most."""


class _Memory:
    """The last parts of one kind."""

    def __init__(self) -> None:
        self._found: dict[bytes, Any] = {}

    def __call__(self, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            key = marshal.dumps(value, 0)  # another type or order of keys gives other bytes
        except ValueError:
            return handler(value)  # not parsed JSON, but made here of other objects
        found = self._found.get(key)
        if found is None:
            found = handler(value)
            if len(key) <= _LONGEST:
                if len(self._found) >= _PARTS:
                    self._found.clear()
                self._found[key] = found
        return found


def remembered() -> WrapValidator:
    """Annotates a field whose validated value may be one that an equal part gave before."""
    return WrapValidator(_Memory())


def once(small: Callable[P, bool]) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Decorates a check that raises or returns nothing: made once for the very same arguments.

    They cannot be changed, as remembered parts cannot. They are held here, so that no other
    object takes the place of one.

    Args:
        small: Whether they may be held.
    """

    def decorate(check: Callable[P, None]) -> Callable[P, None]:
        passed: dict[tuple[int, ...], tuple[Any, ...]] = {}

        @wraps(check)
        def checked(*args: P.args, **kwargs: P.kwargs) -> None:
            key = tuple(map(id, args))
            if key in passed:
                return
            check(*args, **kwargs)
            if small(*args, **kwargs) and not kwargs:
                if len(passed) >= _PARTS:
                    passed.clear()
                passed[key] = args

        return checked

    return decorate
