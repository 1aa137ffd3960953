"""Pickles are data here: what is plain comes back equal, everything else is refused by name."""

from __future__ import annotations

import collections
import contextlib
import copyreg
import datetime
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mbd.data import unpickle
from mbd.data.unpickle import load_plain
from mbd.errors import DataError, NotFoundError
from tests.data.mmsa import dumps, mmsa_set

DTYPES = ["?", "i1", "u2", "<i4", ">i8", "<f2", ">f4", "f8", "<U3", ">U2", "S2"]


def load(folder, content: bytes):
    path = folder / "a.pkl"
    path.write_bytes(content)
    return load_plain(path)


def same(one, two) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    return type(one) is type(two) and one == two


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pickles")


arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=3, max_side=4, min_side=0))
)
plain = st.recursive(
    st.text(max_size=5)
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.booleans()
    | arrays,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(value=plain, protocol=st.integers(0, 5), numpy=st.sampled_from([1, 2]))
def test_plain_data_comes_back_equal(folder, value, protocol, numpy):
    # Python's own pickler in Python, which writes the names of NumPy 1, fails at two empty
    # arrays in protocol 5.
    assume(numpy == 2 or protocol < 5)
    assert same(load(folder, dumps(value, protocol, numpy=numpy)), value)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("numpy", [1, 2])
def test_arrays_of_objects_become_lists_and_numbers_become_pythons(folder, protocol, numpy):
    value = {
        "texts": np.array(["a", "你好"], dtype=object),
        "one": np.float32(0.5),
        "name": np.str_("x"),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    }

    found = load(folder, dumps(value, protocol, numpy=numpy))

    assert found["texts"] == ["a", "你好"]
    assert (found["one"], found["name"]) == (0.5, "x")
    assert np.array_equal(found["columns"], value["columns"])


class Runs:
    """An object whose pickle calls `function` on `arguments`."""

    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


class Stateful:
    pass


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("bomb", "name"),
    [
        (lambda mark: Runs(os.system, f"touch {mark}"), "posix.system"),
        (lambda mark: Runs(eval, f"open({str(mark)!r}, 'w')"), "eval"),
        (lambda mark: Runs(os.mkdir, str(mark)), "posix.mkdir"),
        (lambda mark: Runs(np.load, str(mark)), "load"),
        (lambda mark: Runs(np.fromfile, str(mark)), "fromfile"),
        (lambda mark: Runs(getattr, "a", "upper"), "getattr"),
        (lambda mark: collections.OrderedDict(a=1), "OrderedDict"),
        (lambda mark: datetime.date(2020, 1, 1), "date"),
        (lambda mark: os.system, "posix.system"),
        (lambda mark: 1j, "complex"),
        (lambda mark: {1, 2}, "set|EMPTY_SET"),
        (lambda mark: Stateful(), "Stateful|NEWOBJ|_reconstructor"),
        (lambda mark: (1, 2), "tuple"),
        (lambda mark: None, "NoneType"),
        (lambda mark: b"raw", "bytes"),
    ],
)
def test_what_is_not_plain_data_is_refused_by_name_and_never_run(tmp_path, protocol, bomb, name):
    mark = tmp_path / "mark"
    content = pickle.dumps({"train": {"id": ["a"], "x": bomb(mark)}}, protocol)

    with pytest.raises(DataError, match=name) as refused:
        load(tmp_path, content)

    assert refused.value.code == "data.pickle"
    assert not mark.exists()


def test_persistent_ids_are_refused(tmp_path):
    for content in (b"Pa\n.", b"\x80\x04K\x01Q."):
        with pytest.raises(DataError, match="PERSID"):
            load(tmp_path, content)


def test_extension_codes_are_refused_even_when_registered(tmp_path):
    copyreg.add_extension("posix", "system", 200)
    try:
        with pytest.raises(DataError, match="EXT1"):
            load(tmp_path, b"\x80\x02\x82\xc8X\x04\x00\x00\x00true\x85R.")
    finally:
        copyreg.remove_extension("posix", "system", 200)


def test_a_name_hidden_from_the_first_look_is_refused_too(tmp_path):
    # The two strings come from the memo, not from just before the instruction.
    content = b"\x80\x04\x8c\x05posix\x940\x8c\x06system\x940h\x00h\x01\x93\x8c\x04true\x85R."

    with pytest.raises(DataError, match=r"posix\.system"):
        load(tmp_path, content)


def test_pointers_cannot_be_smuggled_in_as_an_array(tmp_path):
    """NumPy itself would believe the flags of this dtype and follow the bytes as pointers."""
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x08AAAAAAAAtb."
    )

    with pytest.raises(DataError, match="objects"):
        load(tmp_path, content)


def test_stand_ins_cannot_be_altered(tmp_path):
    for name in (b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n"):
        with pytest.raises(DataError):
            load(tmp_path, b"\x80\x02" + name + b"}U\x01aK\x01sb.")
    assert load(tmp_path, pickle.dumps(np.ones(2))).tolist() == [1, 1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"\x80\x04.",
        b"\x80\x04K",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"K\x01.",
        b"\x80\x02K\x01r" + struct.pack("<I", 0xFFFFFFFF) + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",
        b"\x80\x04]\x94h\x01.",
        b"\x80\x09K\x01.",
        b"I" + b"9" * 10000 + b"\n.",
    ],
)
def test_broken_pickles_are_refused(tmp_path, content):
    with pytest.raises(DataError):
        load(tmp_path, content)


def test_memory_that_the_file_cannot_fill_is_not_reserved(tmp_path):
    for content, words in [
        (b"\x80\x04\x95" + struct.pack("<Q", 1 << 30) + b"K\x01.", "frame of"),
        (b"\x80\x02K\x01r" + struct.pack("<I", 1 << 27) + b".", "named before"),
    ]:
        with pytest.raises(DataError, match=words):
            load(tmp_path, content)


def test_a_list_in_itself_does_no_harm(tmp_path):
    found = load(tmp_path, b"\x80\x04]\x94h\x00a.")

    assert found[0] is found


WHOLE = {numpy: dumps(mmsa_set("mosi", aligned=False), numpy=numpy) for numpy in (1, 2)}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), numpy=st.sampled_from([1, 2]))
def test_damage_is_refused_or_harmless(folder, data, numpy):
    content = bytearray(WHOLE[numpy])
    # The first and last parts are where the instructions are densest.
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(content) - 1))
        content[where] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    with contextlib.suppress(DataError):  # most damage is refused, some goes unseen
        load(folder, bytes(content))


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=60))
def test_random_bytes_are_refused_or_plain(folder, content):
    with contextlib.suppress(DataError):
        load(folder, b"\x80\x04" + content + b".")


def test_size_and_number_of_parts_are_limited(tmp_path, monkeypatch):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([0] * 100))

    with pytest.raises(DataError, match="more than 10"):
        load_plain(tmp_path / "a.pkl", max_bytes=10)
    monkeypatch.setattr(unpickle, "MAX_INSTRUCTIONS", 50)
    with pytest.raises(DataError, match="more than 50 parts"):
        load_plain(tmp_path / "a.pkl")


def test_an_absent_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError):
        load_plain(tmp_path / "a.pkl")


def test_bytes_of_python_2_are_read(tmp_path):
    array = np.arange(3, dtype="<f4")
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x03\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x0c" + array.tobytes() + b"tb."
    )

    assert np.array_equal(load(tmp_path, content), array)
