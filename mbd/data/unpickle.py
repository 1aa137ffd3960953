"""Reading a pickle of plain arrays without giving it any power.

A pickle is a program.  Here it is read twice: first its instructions are looked over and any
that is not needed for plain data is refused by name, then it runs with every name it may use
bound to a stand-in of ours.  Nothing of NumPy is reached by what it says, either: NumPy
believes a pickle about flags of a dtype, and so could be made to follow numbers as pointers.
Arrays are made from checked shapes, checked types and bytes of exactly the right number.
"""

from __future__ import annotations

import math
import pickle
import pickletools
import re
import struct
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from mbd.errors import DataError, NotFoundError
from mbd.workspace.files import storage_errors

MAX_BYTES = 1 << 36
"""Largest file that is read, 64 GiB: several times the largest of the known sets."""
MAX_INSTRUCTIONS = 50_000_000

_NEEDED = frozenset({
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "PUT", "BINPUT", "LONG_BINPUT",
    "GET", "BINGET", "LONG_BINGET", "MEMOIZE", "INT", "BININT", "BININT1", "BININT2", "LONG",
    "LONG1", "LONG4", "FLOAT", "BINFLOAT", "NONE", "NEWTRUE", "NEWFALSE", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES",
    "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "LIST", "EMPTY_LIST", "APPEND", "APPENDS",
    "TUPLE", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "DICT", "EMPTY_DICT", "SETITEM",
    "SETITEMS", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
})  # fmt: skip
"""Instructions that plain data needs.  Not among them: classes, persistent ids, extensions."""

_FLAWS = (
    pickle.UnpicklingError, ValueError, TypeError, EOFError, IndexError, KeyError, AttributeError,
    OverflowError, MemoryError, BufferError, RecursionError, struct.error,
)  # fmt: skip
"""What the standard library raises at bytes that are no pickle or a broken one."""

_PLAIN_DTYPE = re.compile(r"[?bBhHiIlLqQefd]|b1|[iu][1248]|f[248]|[SU][1-9][0-9]{0,8}|O8?")


def load_plain(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """What a pickle holds: dicts and lists of numbers, texts and NumPy arrays.

    Args:
        path: A pickle of protocol 0 to 5.
        max_bytes: Size above which the file is not read.

    Returns:
        Built from dict, list, str, int, float, bool and `numpy.ndarray` of numbers or texts;
        an array of objects becomes a list.

    Raises:
        NotFoundError: No such file.
        DataError: Not a pickle, broken, too large, or it holds or asks for anything else;
            names what. Nothing that it asks for was run.
        StorageError: The disk refused.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file", field="SRC")
    with storage_errors(path), path.open("rb") as stream:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(f"{path} has {size} bytes, more than {max_bytes}", field="SRC")
        try:
            _look_over(stream, size)
            stream.seek(0)
            # Latin-1 maps the bytes of arrays that Python 2 wrote onto text and back.
            found = _Unpickler(stream, encoding="latin1").load()
        except _FLAWS as error:
            raise DataError(
                f"{path} is not a readable pickle: {error}", code="data.unreadable", field="SRC"
            ) from error
    return _plain(found)


def _refuse(what: str) -> NoReturn:
    raise DataError(
        f"the pickle asks for {what}, which plain data does not need; nothing was run",
        code="data.pickle",
        field="SRC",
        hint="take the file from its publisher, or save plain arrays with numpy.savez",
    )


def _look_over(stream: IO[bytes], size: int) -> None:
    """Refuse by name what plain data does not need, before anything runs."""
    for count, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
        number = argument if isinstance(argument, int) else 0
        if count >= MAX_INSTRUCTIONS:
            raise DataError(f"the pickle has more than {MAX_INSTRUCTIONS} parts", field="SRC")
        if opcode.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            if (module, name) not in _KNOWN:
                _refuse(f"{module}.{name}")
        if opcode.name not in _NEEDED:
            _refuse(f"{opcode.name} at byte {position}")
        # Either would make the reader reserve memory that the file cannot fill.
        if opcode.name == "FRAME" and number > size:
            raise ValueError(f"a frame of {number} bytes in a file of {size}")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and number > count:
            raise ValueError(f"part {number} is named before there are so many")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            _refuse(f"{module}.{name}")
        return _KNOWN[module, name]

    def persistent_load(self, pid: object) -> NoReturn:
        _refuse("a persistent id")


class _StandIn:
    """What a pickle holds instead of a NumPy name; it cannot be altered."""

    __slots__ = ()

    def __setstate__(self, state: object) -> NoReturn:
        raise ValueError("a function has no state")


class _Dtype:
    """A dtype of numbers, text or objects; the byte order may still come."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: str) -> None:
        self._code = code
        self._order = ""

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and 5 <= len(state) <= 9) or state[1] not in tuple("<>|="):
            raise ValueError("a dtype with an unknown state")
        if any(part is not None for part in state[2:5]):
            raise ValueError("a dtype with parts: want plain numbers")
        self._order = state[1]

    @property
    def objects(self) -> bool:
        return self._code.startswith("O")

    def plain(self) -> np.dtype[Any]:
        order = self._order if self._order in ("<", ">") else ""
        return np.dtype(order + self._code)


class _Array:
    """An array on its way: made empty, filled by its state."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Any = None

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], _Dtype)):
            raise ValueError("an array with an unknown state")
        _, shape, dtype, fortran, data = state
        self.value = _filled(data, dtype, shape, "F" if fortran else "C")


class _DtypeName(_StandIn):
    __slots__ = ()

    def __call__(self, code: object, *flags: object) -> _Dtype:
        if not (isinstance(code, str) and _PLAIN_DTYPE.fullmatch(code)):
            raise ValueError(f"dtype {code!r}: want numbers or text")
        return _Dtype(code)


class _ArrayName(_StandIn):
    """`numpy.ndarray`, which pickles name but do not call."""

    __slots__ = ()


class _Reconstruct(_StandIn):
    __slots__ = ()

    def __call__(self, kind: object, *shape: object) -> _Array:
        if not isinstance(kind, _ArrayName):
            raise ValueError("an array of a class of its own")
        return _Array()


class _FromBuffer(_StandIn):
    __slots__ = ()

    def __call__(self, data: object, dtype: object, shape: object, order: object) -> _Array:
        if not isinstance(dtype, _Dtype) or order not in ("C", "F"):
            raise ValueError("an array with an unknown state")
        made = _Array()
        made.value = _filled(data, dtype, shape, str(order))
        return made


class _Scalar(_StandIn):
    __slots__ = ()

    def __call__(self, dtype: object, data: object) -> Any:
        if not isinstance(dtype, _Dtype):
            raise ValueError("a number with an unknown type")
        return _filled(data, dtype, (1,), "C").item()


class _Encode(_StandIn):
    """`_codecs.encode`, by which old protocols write bytes."""

    __slots__ = ()

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise ValueError("bytes with an unknown encoding")
        return text.encode("latin-1")


class _Bytes(_StandIn):
    """`bytes`, by which old protocols write no bytes at all."""

    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


_KNOWN: dict[tuple[str, str], _StandIn] = {
    ("numpy", "ndarray"): _ArrayName(),
    ("numpy", "dtype"): _DtypeName(),
    ("_codecs", "encode"): _Encode(),
    ("builtins", "bytes"): _Bytes(),
    ("__builtin__", "bytes"): _Bytes(),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Reconstruct() for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar() for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FromBuffer() for core in ("core", "_core")},
}
"""Every name that a pickle may use; NumPy 1 says `core`, NumPy 2 `_core`."""


def _filled(data: object, dtype: _Dtype, shape: object, order: str) -> Any:
    """An array of exactly these bytes, or the list of an array of objects."""
    if not (
        isinstance(shape, tuple)
        and len(shape) <= 8
        and all(type(side) is int and 0 <= side <= 1 << 40 for side in shape)
    ):
        raise ValueError(f"shape {shape!r}")
    count = math.prod(shape)
    if dtype.objects:
        if not isinstance(data, list) or len(data) != count:
            raise ValueError(f"{count} objects announced")
        return data
    raw = data.encode("latin-1") if isinstance(data, str) else data
    kind = dtype.plain()
    if not isinstance(raw, bytes | bytearray) or len(raw) != count * kind.itemsize:
        raise ValueError(f"an array of {kind} and shape {shape} without bytes that fill it")
    return np.frombuffer(raw, kind).reshape(shape, order=order)  # type: ignore[call-overload]


def _plain(found: Any) -> Any:
    """Put arrays in the place of stand-ins; refuse what is neither data nor array."""
    root = [found]
    todo: list[Any] = [root]
    seen: set[int] = set()
    while todo:
        holder = todo.pop()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
            if isinstance(value, _Array):
                value = holder[key] = value.value
            if isinstance(value, dict | list):
                todo.append(value)
            elif type(value) not in (str, int, float, bool, np.ndarray):
                _refuse(f"{type(value).__name__.removeprefix('_')} among the data")
            if isinstance(holder, dict) and type(key) not in (str, int):
                _refuse(f"a dict key of type {type(key).__name__}")
    return root[0]
