"""Independent streams: fixed for ever, all different, bad seeds refused."""

import hashlib

import numpy as np
import pytest

from ibcore.seeds import derived_seed


def test_value_is_fixed_by_its_definition():
    digest = hashlib.sha256(b"order:3").hexdigest()
    assert derived_seed(3, "order") == int(digest[:16], 16) // 2


def test_all_different_and_63_bits():
    made = {derived_seed(s, p) for s in range(500) for p in ("order", "split", "weights")}
    assert len(made) == 1500
    assert max(made) < 2**63
    assert min(made) >= 0
    bits = np.array([[seed >> bit & 1 for bit in range(63)] for seed in made])
    np.testing.assert_allclose(bits.mean(0), 0.5, atol=0.08)


@pytest.mark.parametrize("seed", [-1, 1.0, True, None, "1", np.int64(1)])
def test_refused(seed):
    with pytest.raises(ValueError, match="seed must be a non-negative integer, got"):
        derived_seed(seed, "order")
