"""Messages arrive as they were sent; anything else is refused before it can do harm."""

import json
import socket
import struct
import threading
import time

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.execution.channel import Channel, ChannelClosedError, MalformedMessageError, Message

SCALARS = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?"),
)
ARRAYS = SCALARS.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.fixture
def ends():
    """Two channels that talk to each other, and their sockets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), Channel(theirs), ours, theirs


def framed(header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack(">Q", len(text)) + text


@settings(max_examples=150)
@given(st.text(), st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), ARRAYS, max_size=4))
def test_what_is_sent_arrives(what, meta, arrays):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Channel(ours).send(Message(what, meta, arrays))
        received = Channel(theirs).receive(time.monotonic() + 60)
    assert (received.what, received.meta) == (what, meta)
    assert list(received.arrays) == list(arrays)
    for name, array in arrays.items():
        assert received.arrays[name].dtype == array.dtype
        assert received.arrays[name].shape == array.shape
        assert received.arrays[name].tobytes() == array.tobytes()
        assert received.arrays[name].flags.writeable


@pytest.mark.parametrize("view", [lambda a: a[::-1], lambda a: a.T, lambda a: a[:, ::2], np.asfortranarray])
def test_views_arrive_as_what_they_show(ends, view):
    array = view(np.arange(12.0).reshape(3, 4))
    ends[0].send(Message("x", arrays={"a": array}))
    np.testing.assert_array_equal(ends[1].receive().arrays["a"], array)


def test_more_than_the_socket_holds(ends):
    array = np.random.default_rng(0).random(1 << 21)  # 16 MiB
    sender = threading.Thread(target=ends[0].send, args=(Message("x", arrays={"a": array}),))
    sender.start()
    np.testing.assert_array_equal(ends[1].receive(time.monotonic() + 60).arrays["a"], array)
    sender.join()


@pytest.mark.parametrize("array", [np.array([{}]), np.array(["a"]), np.zeros(1, "M8[s]"), np.zeros(1, [("a", "f8")])])
def test_only_numbers_are_sent(ends, array):
    with pytest.raises(TypeError, match="only numbers are sent"):
        ends[0].send(Message("x", arrays={"fine": np.ones(1), "a": array}))
    assert not ends[1].readable(0), "nothing was sent, so the conversation can go on"


LAYOUTS = [
    ["O", [1]],
    ["|O", [1]],
    ["<U4", [1]],
    ["|V8", [1]],
    ["(2,)f8", [1]],
    ["f8,f8", [1]],
    ["nonsense", [1]],
    ["<f8", [-1]],
    ["<f8", ["1"]],
    ["<f8", [1.5]],
    ["<f8", 3],
    ["<f8", [1] * 200],
    ["<f8", [0, 1 << 62, 1 << 62]],
    ["<f8"],
    [],
    None,
    8,
]
HEADERS = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b"[" * 100_000,
    b"9" * 10_000,
    b'{"what": "x"}',
    b'{"what": "x", "meta": 3, "arrays": {}}',
    b'{"what": "x", "meta": {}, "arrays": [1]}',
    *(json.dumps({"what": "x", "meta": {}, "arrays": {"a": layout}}).encode() for layout in LAYOUTS),
]


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_a_malformed_header_is_refused(ends, header):
    ends[2].sendall(framed(header))
    with pytest.raises(MalformedMessageError):
        ends[1].receive(time.monotonic() + 60)


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_no_bytes_at_all_make_another_kind_of_error(data):
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(framed(data) if len(data) % 2 else data)
        with pytest.raises((MalformedMessageError, ChannelClosedError)):
            Channel(theirs).receive(time.monotonic() + 60)


def test_sizes_are_bounded_before_anything_is_read(ends):
    ends[2].sendall(framed({"what": "x", "meta": {}, "arrays": {"a": ["<f8", [1 << 50]], "b": ["|b1", [3]]}}))
    with pytest.raises(MalformedMessageError, match=r"9,007,199,254,740,995 bytes arrived where at most 100 make"):
        ends[1].receive(time.monotonic() + 60, max_bytes=100)
    ends[2].sendall(struct.pack(">Q", 1 << 60))
    with pytest.raises(MalformedMessageError, match="header is too long"):
        ends[1].receive(time.monotonic() + 60)


def test_a_message_cut_at_any_byte_is_a_closed_connection():
    ours, theirs = socket.socketpair()
    Channel(ours).send(Message("x", {"k": 1}, {"a": np.arange(3)}))
    whole = theirs.recv(1 << 16)
    ours.close()
    theirs.close()
    for length in range(len(whole)):
        ours, theirs = socket.socketpair()
        with theirs:
            with ours:
                ours.sendall(whole[:length])
            with pytest.raises(ChannelClosedError):
                Channel(theirs).receive(time.monotonic() + 60)


@pytest.mark.parametrize("part", [b"", b"\0\0\0", framed(b'{"what": "x", "meta": {}, "arrays": {"a": ["<f8", [9]]}}')])
def test_silence_ends_at_the_deadline(ends, part):
    ends[2].sendall(part)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        ends[1].receive(started + 0.2)
    assert time.monotonic() - started >= 0.2


def test_a_reader_that_reads_nothing_ends_at_the_deadline(ends):
    with pytest.raises(TimeoutError):
        ends[0].send(Message("x", arrays={"a": np.zeros(1 << 22)}), time.monotonic() + 0.2)


def test_a_deadline_far_away_is_no_error(ends):
    ends[0].send(Message("x"), time.monotonic() + 1e15)
    assert ends[1].readable(1e15)
    assert ends[1].receive(time.monotonic() + 1e15).what == "x"


def test_a_closed_end_is_told_by_its_own_error(ends):
    ends[1].close()
    with pytest.raises(ChannelClosedError):
        ends[0].send(Message("x", arrays={"a": np.zeros(1 << 20)}))
    with pytest.raises(ChannelClosedError):
        ends[0].receive()
    with pytest.raises(ChannelClosedError):
        ends[1].receive()
