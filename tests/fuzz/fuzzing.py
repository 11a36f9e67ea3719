"""How much is tried, and what happens to valid bytes.

A few examples, always the same ones, in ``make test``; many and new ones with
``HYPOTHESIS_PROFILE=long``, as ``make faults`` sets it.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"


def examples(few):
    """Settings with `few` examples, 50 times as many if there is time."""
    return settings(
        max_examples=50 * few if LONG else few,
        derandomize=not LONG,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def mutations(draw):
    """A function that damages bytes as disks, networks and strangers do."""
    kind = draw(st.sampled_from(["replace", "flip", "cut", "insert", "zeros", "random"]))
    where = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4))
    byte, other = draw(st.integers(0, 255)), draw(st.binary(min_size=1, max_size=40))

    def damage(content):
        changed = bytearray(content)
        if kind == "random":
            return other
        if kind == "cut":
            return content[: int(where[0] * len(content))]
        for place in (int(share * len(content)) for share in where):
            if kind == "flip":
                changed[place] ^= 1 << byte % 8
            elif kind == "replace":
                changed[place] = byte
            elif kind == "insert":
                changed[place:place] = other
            else:
                changed[place : place + 40] = bytes(len(changed[place : place + 40]))
        return bytes(changed)

    return damage
