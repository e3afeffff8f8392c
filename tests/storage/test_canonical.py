"""One value, one text, one id."""

import enum
import hashlib
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.storage import array_id, bytes_id, canonical_json, content_id, file_id

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=6)


@given(VALUES)
@settings(max_examples=40)
def test_canonical_json_is_read_back_exactly(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
    assert "\n" not in text


@given(st.dictionaries(TEXT, VALUES, min_size=2), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_key_order_does_not_matter(value, random):
    items = list(value.items())
    random.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(value)
    assert content_id(dict(items)) == content_id(value)


@given(VALUES, st.sampled_from([math.nan, math.inf, -math.inf, np.float64("nan")]))
@settings(max_examples=20)
def test_non_finite_numbers_are_refused_wherever_they_are(value, bad):
    with pytest.raises(ValueError, match=r"value\['runs'\]\[1\] is -?(nan|inf)"):
        canonical_json({"runs": [value, bad]})


def test_the_text_and_the_id_are_fixed():
    value = {"b": [1, 2.5, 1e22, True, None], "a": "é\u2028\n", "B": {}, "t": (1,)}
    text = '{"B":{},"a":"é\u2028\\n","b":[1,2.5,1e+22,true,null],"t":[1]}'
    assert canonical_json(value) == text
    assert content_id(value) == hashlib.sha256(text.encode()).hexdigest()


def test_numbers_that_are_written_differently_are_different():
    assert len({content_id(number) for number in (1, 1.0, -0.0, 0.0, True)}) == 5


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({1: "a"}, "value has the key 1, a int; JSON keys are strings"),
        ({"a": {None: 1}}, r"value\['a'\] has the key None"),
        ([{1, 2}], r"value\[0\] is a set"),
        (b"raw", "value is a bytes"),
        ({"a": np.float32(1)}, r"value\['a'\] is a numpy.float32"),
        (np.int64(1), "numpy.int64"),
        (np.zeros(2), "numpy.ndarray"),
        (object(), "value is a object"),
        (enum.Enum("Colour", "RED").RED, "Colour"),
    ],
)
def test_what_json_cannot_hold_is_a_type_error_that_names_the_place(value, sentence):
    with pytest.raises(TypeError, match=sentence):
        canonical_json(value)


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, ["a\udc80b"]])
def test_invalid_unicode_is_refused(value):
    with pytest.raises(ValueError, match="surrogate"):
        canonical_json(value)


def test_file_id_is_the_id_of_its_bytes(tmp_path):
    data = bytes(range(256)) * 9000  # more than two chunks
    (tmp_path / "data").write_bytes(data)
    assert file_id(tmp_path / "data") == bytes_id(data) == hashlib.sha256(data).hexdigest()
    with pytest.raises(FileNotFoundError):
        file_id(tmp_path / "absent")


def test_array_id_is_fixed():
    # The bytes are written out by hand: header, newline, then 1.0 and 2.0 as little-endian float32.
    expected = b'{"dtype":"<f4","shape":[2]}\n' + bytes.fromhex("0000803f00000040")
    assert array_id(np.array([1, 2], "f4")) == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", "f8", "c16", "S3", "U3", "M8[s]"])
@pytest.mark.parametrize("shape", [(), (0,), (6,), (2, 3), (2, 0, 3)])
def test_array_id_ignores_memory_layout(dtype, shape):
    array = np.arange(math.prod(shape)).reshape(shape).astype("i8").astype(dtype)
    others = [np.asfortranarray(array), array.astype(array.dtype.newbyteorder(">")), array.copy()[...]]
    if array.ndim:
        others.append(np.repeat(array, 2, axis=0)[::2])
    assert {array_id(other.reshape(shape)) for other in others} == {array_id(array)}


def test_array_id_tells_values_dtypes_and_shapes_apart():
    base = np.zeros(4, "f4")
    others = [base + 1, -base, base.astype("f8"), base.view("i4"), base.reshape(2, 2), base[:3]]
    assert len({array_id(array) for array in [base, *others]}) == 7


@pytest.mark.parametrize("dtype", [object, np.longdouble, "i4,f4", "V3"])
def test_arrays_without_a_portable_form_are_refused(dtype):
    with pytest.raises(TypeError, match="no portable representation"):
        array_id(np.zeros(2, dtype))


def test_import_loads_neither_numpy_nor_pydantic():
    code = "import sys, harness.storage; print(*sorted({'numpy', 'pydantic', 'torch'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
