"""Reader of idx files, the format of MNIST: unsigned bytes in one or three dimensions."""

from __future__ import annotations

import gzip
import lzma
import math
import tarfile
import zlib
from pathlib import Path

import numpy as np

MOST_BYTES = 1 << 30  # more than any idx file of this project by a factor of twenty
DAMAGE = (tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError)
"""What a damaged archive, packed or not, is answered with."""

_CHUNK = 1 << 20
_AXES = {0x00000801: 1, 0x00000803: 3}


def read_content(path):
    """Return the bytes of a file, decompressed if they begin as gzip does.

    Parameters
    ----------
    path : path
        The ending of the name does not matter.

    Raises
    ------
    ValueError
        Truncated or damaged gzip, or more than `MOST_BYTES` of content.
    """
    path = Path(path)
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    parts, size = [], 0
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            while part := file.read(_CHUNK):
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    raise ValueError(f"{path}: holds more than {MOST_BYTES} bytes")
    except DAMAGE as error:
        raise ValueError(f"{path}: truncated or damaged gzip ({error})") from error
    return b"".join(parts)


def refuse_huge(member, path):
    """Raise ValueError for a file in a tar archive that says it holds more than `MOST_BYTES`."""
    if member.size > MOST_BYTES:
        raise ValueError(f"{path}: {member.name} claims {member.size} bytes")


def parse_idx(content, path):
    """Return the array in the bytes of an idx1 or idx3 file of unsigned bytes.

    Parameters
    ----------
    content : bytes
        Decompressed content.
    path : path
        Named in error messages.

    Returns
    -------
    uint8 array (n,) or (n, h, w)

    Raises
    ------
    ValueError
        Wrong magic number, header cut short, or not as many bytes as the header says.

    Examples
    --------
    >>> parse_idx(bytes.fromhex("00000801 00000002 0507"), "example").tolist()
    [5, 7]
    """
    magic = int.from_bytes(content[:4], "big")
    if len(content) < 4 or magic not in _AXES:
        raise ValueError(
            f"{path}: not an idx file of unsigned bytes in 1 or 3 dimensions "
            f"(begins with {content[:4].hex() or 'nothing'})"
        )
    start = 4 + 4 * _AXES[magic]
    if len(content) < start:
        raise ValueError(f"{path}: header cut short ({len(content)} of {start} bytes)")
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    wanted, found = math.prod(shape), len(content) - start
    if wanted != found:
        raise ValueError(
            f"{path}: the header says {' x '.join(map(str, shape))} = {wanted} bytes, but "
            f"{found} follow ({'trailing bytes' if found > wanted else 'truncated'})"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def read_idx(path):
    """Read an idx1 or idx3 file of unsigned bytes, plain or gzip.

    No memory is set aside on the word of the header: the bytes that are there decide.

    Parameters
    ----------
    path : path

    Returns
    -------
    uint8 array (n,) or (n, h, w)

    Raises
    ------
    ValueError
        See `read_content` and `parse_idx`; the message names the file and what is wrong.
    """
    return parse_idx(read_content(path), path)
