"""read_idx returns the array that was written, or a ValueError that names file and fault."""

import gzip
import tracemalloc

import numpy as np
import pytest
from datasets_helpers import idx_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ibcore.datasets import idx, read_idx

IMAGES = np.arange(24).reshape(2, 3, 4)
WHOLE = idx_bytes(IMAGES)


def written(tmp_path, content, name="some-file"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("array", [IMAGES, np.arange(7), np.zeros((0, 3, 4))])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_was_written_is_read(tmp_path, array, pack):
    found = read_idx(written(tmp_path, pack(idx_bytes(array))))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


def test_the_result_can_be_written_to(tmp_path):
    found = read_idx(written(tmp_path, WHOLE))
    found[0] = 9
    assert (found[0] == 9).all()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "begins with nothing"),
        (b"\x00\x00", "begins with 0000"),
        (b"\x00\x00\x09\x03" + WHOLE[4:], "not an idx file .*begins with 00000903"),
        (b"<html>no such file</html>", "not an idx file .*begins with 3c68746d"),
        (WHOLE[:10], "header cut short .10 of 16 bytes"),
        (WHOLE[:-1], "2 x 3 x 4 = 24 bytes, but 23 follow .truncated"),
        (WHOLE + b"\0", "24 bytes, but 25 follow .trailing bytes"),
        (gzip.compress(WHOLE, mtime=0)[:-9], "truncated or damaged gzip"),
        (gzip.compress(WHOLE, mtime=0)[:15], "truncated or damaged gzip"),
        (gzip.compress(WHOLE, mtime=0) + b"more", "truncated or damaged gzip"),
        (gzip.compress(WHOLE, mtime=0)[:10] + b"\xff" * 30, "truncated or damaged gzip"),
    ],
)
def test_faults_are_named(tmp_path, content, fault):
    with pytest.raises(ValueError, match=f"some-file: .*{fault}"):
        read_idx(written(tmp_path, content))


def test_an_absurd_header_allocates_nothing(tmp_path):
    path = written(tmp_path, WHOLE[:4] + b"\xff" * 12 + WHOLE[16:])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="4294967295 x 4294967295 x 4294967295"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "MOST_BYTES", 1 << 21)
    path = written(tmp_path, gzip.compress(bytes(1 << 24)))
    with pytest.raises(ValueError, match=f"holds more than {1 << 21} bytes"):
        read_idx(path)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read_idx(tmp_path / "absent")


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    packed=st.booleans(),
    cut=st.integers(0, 80),
    changes=st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255)), max_size=6),
    tail=st.binary(max_size=5),
)
def test_mutated_bytes_give_an_array_or_a_value_error(tmp_path, packed, cut, changes, tail):
    content = bytearray(gzip.compress(WHOLE, mtime=0) if packed else WHOLE)
    for place, value in changes:
        content[place % len(content)] = value
    path = written(tmp_path, bytes(content[: len(content) - cut // 8]) + tail)
    try:
        found = read_idx(path)
    except ValueError as error:
        found, told = None, str(error)
    if found is None:
        assert "some-file" in told
    else:
        assert found.dtype == np.uint8
        assert found.ndim in (1, 3)
