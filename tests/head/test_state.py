from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from mbd.errors import ArithmeticRefused, IntegrityError, NotFoundError
from mbd.head.state import HeadState, contribution, state_digest
from tests.head.rows import rows


def one_row_at_a_time(q, t) -> HeadState:
    """The slow and obvious reference: Python integers, row by row."""
    gram = sum(
        (np.outer(row, row) for row in q.astype(object)), np.zeros((q.shape[1],) * 2, object)
    )
    cross = sum(
        (np.outer(r, s) for r, s in zip(q.astype(object), t.astype(object), strict=True)),
        np.zeros((q.shape[1], t.shape[1]), object),
    )
    return HeadState(gram.astype(np.int64), cross.astype(np.int64), len(q))


@given(st.integers(0, 30), st.integers(1, 3), st.integers(0, 99))
@settings(deadline=None)
def test_a_state_is_the_sum_over_rows(count, outputs, seed):
    q, t = rows(count, outputs=outputs, seed=seed)

    assert contribution(q, t).digest() == one_row_at_a_time(q, t).digest()


@given(st.randoms(use_true_random=False), st.integers(1, 7), st.integers(0, 99))
@settings(deadline=None)
def test_order_and_batch_size_do_not_change_a_bit(random, batch, seed):
    q, t = rows(23, seed=seed)
    order = random.sample(range(23), 23)

    total = HeadState.empty(24, 1)
    for start in range(0, 23, batch):
        chosen = order[start : start + batch]
        total = total + contribution(q[chosen], t[chosen])

    assert total.digest() == contribution(q, t).digest()


@given(st.sets(st.integers(0, 19)), st.integers(0, 99))
@settings(deadline=None)
def test_subtraction_gives_the_state_that_never_saw_the_rows(removed, seed):
    q, t = rows(20, seed=seed)
    gone, kept = sorted(removed), sorted(set(range(20)) - removed)

    after = contribution(q, t) - contribution(q[gone], t[gone])

    assert after.digest() == contribution(q[kept], t[kept]).digest()


_IN_A_PROCESS = """
from tests.head.rows import rows
from mbd.head.state import contribution
q, t = rows(700, inputs=20, width=300, outputs=3)
print(contribution(q, t).digest())
"""


def test_one_and_two_threads_give_the_same_digest():
    found = set()
    for threads in ("1", "2"):
        variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        done = subprocess.run(
            [sys.executable, "-c", _IN_A_PROCESS],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)

    assert len(found) == 1


def test_rows_that_were_never_added_cannot_be_subtracted():
    q, t = rows(4)
    with pytest.raises(ArithmeticRefused):
        contribution(q[:2], t[:2]) - contribution(q, t)
    with pytest.raises(ArithmeticRefused):
        contribution(q[:2], t[:2]).without(q, t)
    with pytest.raises(ArithmeticRefused):
        contribution(q, t).without(q, t[:2])
    with pytest.raises(ArithmeticRefused):
        HeadState.empty(24, 1) - contribution(q[:1], t[:1])


def test_overflow_is_refused():
    huge = HeadState(np.full((2, 2), 2**62), np.zeros((2, 1), np.int64), 1)
    with pytest.raises(ArithmeticRefused):
        huge + huge


def test_the_digest_covers_shape_rows_and_every_number():
    q, t = rows(6, outputs=2)
    state = contribution(q, t)
    digests = {state.digest(), HeadState(state.gram, state.cross, 7).digest()}
    for array in (state.gram, state.cross):
        array[0, 1] += 1
        digests.add(state.digest())
    digests.add(HeadState(state.gram, state.cross.reshape(-1, 1), 6).digest())

    assert len(digests) == 5


def test_the_digest_of_all_heads_binds_names_and_ignores_order():
    one, two = contribution(*rows(3)), contribution(*rows(4))

    assert state_digest({"a": one, "b": two}) == state_digest({"b": two, "a": one})
    assert state_digest({"a": one, "b": two}) != state_digest({"a": two, "b": one})


def test_a_saved_state_is_the_same_state(tmp_path):
    state = contribution(*rows(9, outputs=2))
    state.save(tmp_path / "a.safetensors")

    again = HeadState.load(tmp_path / "a.safetensors")

    assert (again.rows, again.digest()) == (9, state.digest())


def test_a_saved_state_has_the_bytes_of_the_library_of_its_format(tmp_path):
    for outputs in (1, 3):
        state = contribution(*rows(9, outputs=outputs))
        state.save(tmp_path / "a")

        tensors = {"rows": np.array([9]), "gram": state.gram, "cross": state.cross}
        assert (tmp_path / "a").read_bytes() == safetensors.numpy.save(tensors)


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 99))
@settings(deadline=None)
def test_rows_taken_out_in_blocks_leave_what_a_difference_leaves(count, removed, seed):
    q, t = rows(count, outputs=2, seed=seed)
    gone = slice(0, min(removed, count))

    found = contribution(q, t).without(q[gone], t[gone])

    assert found.digest() == contribution(q[gone.stop :], t[gone.stop :]).digest()


@pytest.mark.parametrize("removed", [30, 700], ids=["whole blocks", "half of them, mirrored"])
def test_a_wide_state_without_some_rows(removed):
    rng = np.random.default_rng(0)
    q = rng.integers(-(2**15), 2**15, (800, 2100)).astype(np.int16)
    t = rng.integers(-(2**20), 2**20, (800, 2)).astype(np.int32)

    found = contribution(q, t).without(q[:removed], t[:removed])

    assert found.digest() == contribution(q[removed:], t[removed:]).digest()


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_torn_file_is_an_integrity_error(tmp_path, keep):
    path = tmp_path / "state"
    contribution(*rows(2)).save(path)
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(IntegrityError):
        HeadState.load(path)


def test_a_missing_file_and_another_content_are_named(tmp_path):
    path = tmp_path / "state"
    with pytest.raises(NotFoundError):
        HeadState.load(path)
    HeadState(np.zeros((4, 3), np.int64), np.zeros((4, 1), np.int64), 1).save(path)
    with pytest.raises(IntegrityError):
        HeadState.load(path)
    path.write_bytes(safetensors.numpy.save({"gram": np.zeros((4, 4), np.int64)}))
    with pytest.raises(IntegrityError):
        HeadState.load(path)
