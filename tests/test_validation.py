"""Each argument check: what passes unchanged, what is refused, and in which words."""

import math
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from contractive import _validation
from contractive._validation import (
    check_choice,
    check_count,
    check_flag,
    check_interval,
    check_rows,
    check_seed,
    check_weights,
    shown,
)

TABLE = np.linspace(0, 1, 12).reshape(4, 3)


def refusal(error: type[Exception], *words: object):
    """Expect an error whose message is one line and says the words in that order."""
    return pytest.raises(error, match="^[^\n]*" + "[^\n]*".join(re.escape(str(word)) for word in words) + "[^\n]*$")


@pytest.mark.parametrize("value", [0, 0.5, 3, np.float32(0.25), np.int64(2), Fraction(1, 4)])
def test_interval_returns_the_number(value):
    number = check_interval("x", value, low=0)
    assert type(number) is float
    assert number == value


@pytest.mark.parametrize("value", [-1e-9, -1, math.nan, math.inf, -math.inf, np.float32(-2)])
def test_interval_refuses_what_is_outside(value):
    with refusal(ValueError, "`x` must be >= 0; got", repr(value)):
        check_interval("x", value, low=0)


def test_strict_interval_refuses_its_end():
    with refusal(ValueError, "`x` must be > 0; got 0"):
        check_interval("x", 0, low=0, strict=True)
    assert check_interval("x", 1e-300, low=0, strict=True) == 1e-300


@pytest.mark.parametrize("value", [None, "1", True, np.True_, 1j, [1], np.ones(1), np.datetime64("2011-06-28")])
def test_interval_refuses_what_is_no_number(value):
    with refusal(TypeError, "`x` must be >= 0; got", repr(value)):
        check_interval("x", value, low=0)


@pytest.mark.parametrize("value", [1, 7, np.int32(3), np.uint8(255)])
def test_count_returns_the_whole_number(value):
    count = check_count("n", value)
    assert type(count) is int
    assert count == value


@pytest.mark.parametrize("value", [0, -1, np.int64(-3)])
def test_count_refuses_what_is_too_small(value):
    with refusal(ValueError, "`n` must be a whole number >= 1; got", repr(value)):
        check_count("n", value)


@pytest.mark.parametrize(("value", "inside"), [(0.5, True), (1e-9, True), (0, False), (1, False), (1.5, False)])
def test_strict_interval_with_two_ends_lies_between_them(value, inside):
    if inside:
        assert check_interval("x", value, low=0, high=1, strict=True) == value
        return
    with refusal(ValueError, "`x` must be > 0 and < 1; got", repr(value)):
        check_interval("x", value, low=0, high=1, strict=True)


def test_interval_with_two_ends_holds_them():
    assert [check_interval("x", end, low=0, high=1) for end in (0, 1)] == [0, 1]
    with refusal(ValueError, "`x` must be >= 0 and <= 1; got 1.1"):
        check_interval("x", 1.1, low=0, high=1)


@pytest.mark.parametrize("value", [1.0, 0.5, "3", None, True, np.True_, np.float64(2), np.ones(1, int)])
def test_count_refuses_what_is_no_whole_number(value):
    with refusal(TypeError, "`n` must be a whole number >= 1; got", repr(value)):
        check_count("n", value)


def test_choice_lists_what_is_known():
    assert check_choice("loss", "b", {"b": 1, "a": 2}) == "b"
    for value in ("c", "", None, 3, ["a"], np.array("a")):
        with refusal(ValueError, "`loss` must be one of 'a', 'b'; got", repr(value)):
            check_choice("loss", value, {"b": 1, "a": 2})


def test_flag_takes_booleans_only():
    assert check_flag("tied", np.True_) is True
    assert check_flag("tied", False) is False
    for value in (0, 1, "yes", None):
        with refusal(TypeError, "`tied` must be True or False; got", repr(value)):
            check_flag("tied", value)


@pytest.mark.parametrize("value", [None, 0, 2**32 - 1, np.int64(7), np.random.RandomState(0)])
def test_seed_is_what_numpy_takes(value):
    check_seed("random_state", value)


@pytest.mark.parametrize(
    ("value", "error"),
    [(-1, ValueError), (2**32, ValueError), (0.5, TypeError), ("0", TypeError), (True, TypeError)],
)
def test_seed_refuses_the_rest(value, error: type[Exception]):
    with refusal(error, "`random_state` must be None, a RandomState or", "0 to 4294967295; got", repr(value)):
        check_seed("random_state", value)


@pytest.mark.parametrize(
    "value", [[1, 2, 0], np.array([0.5, 0, 3], np.float32), np.array([True, False, True]), (1,) * 3]
)
def test_weights_become_floats_of_the_same_value(value):
    weights = check_weights("sample_weight", value, 3)
    assert weights is not None
    assert weights.dtype == np.float64
    assert np.array_equal(weights, np.asarray(value, float))


def test_no_weights_stay_none():
    assert check_weights("sample_weight", None, 3) is None


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ([1, 2], ValueError, ["1-d", "shape (3,)", "got shape (2,)"]),
        ([[1, 2, 3]], ValueError, ["1-d", "got shape (1, 3)"]),
        (1.0, ValueError, ["1-d", "got shape ()"]),
        ([[1], [2, 3], 4], ValueError, ["1-d", "got [[1], [2, 3], 4]"]),
        (["1", "2", "3"], TypeError, ["numbers", "<U1"]),
        ([1, None, 2], TypeError, ["numbers", "object"]),
        ([1j, 1, 1], TypeError, ["numbers", "complex"]),
        ([1, -0.5, -2], ValueError, [">= 0", "-0.5 at row 1"]),
        ([1, 2, np.nan], ValueError, ["finite", "nan at row 2"]),
        ([np.inf, 2, 1], ValueError, ["finite", "inf at row 0"]),
        ([0, 0, 0], ValueError, ["> 0", "3 zeros"]),
    ],
)
def test_weights_refuse_what_does_not_count_rows(value, error: type[Exception], words: list[str]):
    with refusal(error, "`sample_weight` must", *words):
        check_weights("sample_weight", value, 3)


def test_a_value_is_shown_in_one_line_of_bounded_length():
    assert shown("a  b") == "'a  b'"
    assert shown(np.eye(2)) == "array([[1., 0.], [0., 1.]])"
    assert len(shown(list(range(1000)))) == 120
    with refusal(ValueError, "`loss` must be one of 'a'; got array([[1., 0.,", "..."):
        check_choice("loss", np.eye(50), ["a"])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_rows_of_the_three_types_are_not_copied(dtype: str):
    X = TABLE.astype(dtype)
    assert check_rows(X) is X


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("bool", "float32"),
        ("float16", "float32"),
        (">f4", "float32"),
        (">f8", "float64"),
        ("int8", "float64"),
        ("int64", "float64"),
        ("uint16", "float64"),
    ],
)
def test_rows_of_other_types_become_floats_of_the_same_value(dtype: str, expected: str):
    X = (100 * TABLE).astype(dtype)
    rows = check_rows(X)
    assert rows.dtype == expected
    assert np.array_equal(rows, X)


@pytest.mark.parametrize("order", ["big-endian", "Fortran", "negative strides", "read-only"])
def test_rows_in_any_memory_layout_keep_their_values(order: str):
    X = {
        "big-endian": TABLE.astype(">f8"),
        "Fortran": np.asfortranarray(TABLE),
        "negative strides": TABLE[::-1, ::-1][::-1, ::-1],
        "read-only": np.broadcast_to(TABLE[0], (4, 3)),
    }[order]
    rows = check_rows(X)
    assert rows.dtype.isnative
    assert np.array_equal(rows, X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_whose_sum_is_beyond_the_dtype_are_numbers_all_the_same(dtype: str, order: Any):
    X = np.full((3, 4), np.finfo(dtype).max, dtype, order)
    assert check_rows(X) is X
    X[1, 2] *= -1
    assert check_rows(X) is X


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("wrong", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf], [np.nan, np.inf]])
def test_rows_of_one_value_that_is_no_number_are_refused_wherever_it_is(dtype: str, wrong: list[float]):
    for place in range(0, 35, 5):
        X = np.ones((5, 7), dtype)
        X.flat[place : place + len(wrong)] = wrong
        with refusal(ValueError, "finite", f"at row {place // 7}, column {place % 7}"):
            check_rows(X)


def test_rows_come_from_nested_lists():
    assert np.array_equal(check_rows([[1, 2], [3, 4]]), np.array([[1.0, 2.0], [3.0, 4.0]]))


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        (np.float64(3), ValueError, ["2-d", "got 0-d of shape ()", "Pass a table"]),
        (np.ones(5), ValueError, ["2-d", "got 1-d of shape (5,)", "X.reshape(1, -1)", "X.reshape(-1, 1)"]),
        (np.ones((4, 2, 2)), ValueError, ["2-d", "got 3-d of shape (4, 2, 2)", "X.reshape(len(X), -1)"]),
        (np.ones((0, 3)), ValueError, ["at least 1 row", "got 0", "(0, 3)"]),
        (np.ones((3, 0)), ValueError, ["0 feature(s)", "(3, 0)", "minimum of 1"]),
        ([], ValueError, ["2-d", "(0,)"]),
        ([[1, 2], [3]], ValueError, ["rectangular"]),
        ([["a", "b"]], TypeError, ["hold numbers", "strings"]),
        (np.array([[b"a"]]), TypeError, ["hold numbers", "bytes"]),
        (np.array([[{}, 1]]), TypeError, ["hold numbers", "objects", "Encode them"]),
        (np.array([["a", 1]], object), TypeError, ["hold numbers", "objects", "'a'"]),
        (np.array([[None, 1]]), ValueError, ["finite", "NaN at row 0, column 0"]),
        (np.ones((2, 2), complex), ValueError, ["Complex data", "real numbers", "complex128"]),
        (np.zeros((2, 2), "M8[s]"), TypeError, ["hold numbers", "datetime64"]),
        (np.zeros((2, 2), "f4,f4"), TypeError, ["hold numbers"]),
        (None, ValueError, ["2-d", "got 0-d of shape ()"]),
    ],
)
def test_rows_refuse_other_shapes_and_kinds(X, error: type[Exception], words: list[str]):
    with refusal(error, *words) as info:
        check_rows(X)
    assert "`X`" in str(info.value)


def test_rows_of_objects_that_are_numbers_are_these_numbers():
    rows = check_rows(TABLE.astype(object))
    assert rows.dtype == np.float64
    assert np.array_equal(rows, TABLE)


def test_rows_refuse_too_few_rows_under_the_name_given():
    with refusal(ValueError, "`H` must have at least 5 rows; got 4"):
        check_rows(TABLE, name="H", min_rows=5)


def test_rows_refuse_what_the_arithmetic_cannot_hold():
    X = TABLE.copy()
    X[2, 1] = -1e39
    assert check_rows(X) is X
    with refusal(ValueError, "`X` must lie within 3.4e+38", "got -1e+39 at row 2, column 1", "Scale"):
        check_rows(X, largest=float(np.finfo(np.float32).max))


SPARSE = [sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.coo_array, sparse.lil_array, sparse.dok_array]


@pytest.mark.parametrize("kind", SPARSE)
@pytest.mark.parametrize(("dtype", "expected"), [("float32", "float32"), ("uint8", "uint8"), ("bool", "float32")])
def test_sparse_rows_become_csr_of_the_same_values(kind, dtype: str, expected: str):
    X = (TABLE * (TABLE > 0.4)).astype(dtype)
    rows = check_rows(kind(X))
    assert rows.format == "csr"
    assert rows.dtype == expected
    assert np.array_equal(rows.toarray(), X)


def test_sparse_entries_that_stand_twice_are_added_and_the_data_given_stays():
    X = sparse.csr_array((np.array([0.7, 0.6, 0.1]), np.array([1, 1, 0]), np.array([0, 3, 3])), shape=(2, 2))
    rows = check_rows(X)
    assert np.allclose(rows.toarray(), [[0.1, 1.3], [0, 0]])
    assert X.nnz == 3
    with refusal(ValueError, "[0, 1]", "1.3 at row 0, column 1"):
        check_rows(X, unit_interval=True)


@pytest.mark.parametrize("block", [1, 3, 1 << 22])
def test_sparse_rows_name_the_place_of_a_wrong_value(block: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_validation, "_BLOCK_ENTRIES", block)
    X = TABLE * (TABLE > 0.4)
    X[3, 1] = np.nan
    with refusal(ValueError, "`X` must be finite; got NaN at row 3, column 1."):
        check_rows(sparse.csr_array(X))
    X[3, 1] = 1.5
    with refusal(ValueError, "[0, 1]", "1.5 at row 3, column 1"):
        check_rows(sparse.csr_array(X), unit_interval=True)


def test_sparse_rows_are_refused_as_dense_ones():
    with refusal(ValueError, "at least 2 rows"):
        check_rows(sparse.csr_array((1, 3)), min_rows=2)
    with refusal(ValueError, "Complex data"):
        check_rows(sparse.csr_array(TABLE.astype(complex)))
    assert check_rows(sparse.csr_array((4, 3)), unit_interval=True).nnz == 0


@pytest.mark.parametrize(("value", "word"), [(math.nan, "NaN"), (math.inf, "infinity"), (-math.inf, "-infinity")])
@pytest.mark.parametrize("place", [(0, 0), (3, 2), (2, 1)])
@pytest.mark.parametrize("block", [1, 5, 1 << 22])
def test_rows_name_the_place_of_what_is_not_finite(value, word, place, block, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_validation, "_BLOCK_ENTRIES", block)
    X = TABLE.copy()
    X[place] = value
    with refusal(ValueError, f"`X` must be finite; got {word} at row {place[0]}, column {place[1]}."):
        check_rows(X)


@pytest.mark.parametrize("value", [-0.5, 1.5, -1e-3, 1.001])
@pytest.mark.parametrize("block", [1, 1 << 22])
def test_unit_interval_names_place_and_other_loss(value: float, block: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_validation, "_BLOCK_ENTRIES", block)
    X = TABLE.copy()
    X[3, 0] = value
    assert check_rows(X) is X
    with refusal(ValueError, "[0, 1]", f"got {value:g} at row 3, column 0", "loss='squared_error'"):
        check_rows(X, unit_interval=True)


def test_unit_interval_keeps_its_ends():
    assert check_rows(TABLE, unit_interval=True) is TABLE


def test_unit_interval_of_bytes_depends_on_their_scale():
    X = np.array([[0, 255], [17, 3]], np.uint8)
    for scale in (255, 256):
        assert check_rows(X, unit_interval=True, uint8_scale=scale) is X
    with refusal(ValueError, "[0, 1]", "got 255 at row 0, column 1", "uint8_scale=256", "loss='squared_error'"):
        check_rows(X, unit_interval=True, uint8_scale=1)


SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)
NUMBERS = st.sampled_from(["float32", "float64", "uint8", "int64", "bool"])


@given(hnp.arrays(NUMBERS, SHAPES))
def test_rows_pass_exactly_when_all_are_finite(X: np.ndarray):
    if np.isfinite(X).all():
        assert np.array_equal(check_rows(X), X)
    else:
        with refusal(ValueError, "`X` must be finite"):
            check_rows(X)
