"""How time grows with the number of samples, features, layers; and what memory is needed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from growth_cases import CASES
from test_estimator_speed import best_of

pytestmark = pytest.mark.benchmark
SCRIPT = Path(__file__).with_name("growth_cases.py")


@pytest.mark.parametrize(("name", "variable"), CASES)
def test_growth(record_growth, name, variable):
    torch.set_num_threads(1)
    make, sizes = CASES[name, variable]
    seconds = [best_of(make(**{variable: size}), 2)[0] for size in sizes]
    exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    command = [sys.executable, str(SCRIPT), name, variable]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    record_growth(name, variable, sizes, exponent, seconds[-1], float(done.stdout))


LIMITED = """
import re, resource
import numpy as np
from ibcore.estimators import kde_information
from growth_cases import peak

rng = np.random.default_rng(0)
T, Y = rng.standard_normal((50_000, 10)), rng.integers(0, 10, 50_000)
kde_information(T[:500], Y[:500], noise_variance=0.1)
before = peak()
data = int(re.search(r"VmData:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (data + 2**31, data + 2**31))
found = kde_information(T, Y, noise_variance=0.1)
print(found.I_XT, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory by way of /proc")
def test_kde_of_50000_samples_fits_into_2_gib():
    """A whole matrix of distances would take 20 GB."""
    command = [sys.executable, "-W", "ignore", "-c", LIMITED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SCRIPT.parent)
    information, increase = map(float, done.stdout.split())
    assert 0 < information <= np.log2(50_000)
    assert increase < 2048
