"""How time grows with the number of samples, features, layers; and what memory is needed."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from growth_cases import CASES

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(sys.platform != "linux", reason="asks /proc about memory"),
]
SCRIPT = Path(__file__).with_name("growth_cases.py")


def shortest(call, repeats=3):
    """Processor time in seconds, after one call to warm up; others on the machine do not count."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize(("name", "variable"), CASES)
def test_growth(record_growth, name, variable):
    torch.set_num_threads(1)
    make, sizes = CASES[name, variable]
    seconds = [shortest(make(**{variable: size})) for size in sizes]
    exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    command = [sys.executable, str(SCRIPT), name, variable]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    record_growth(name, variable, sizes, exponent, seconds[-1], float(done.stdout))


LIMITED = """
import resource
import numpy as np
from ibcore.estimators import kde_information
from growth_cases import memory, rise

rng = np.random.default_rng(0)
T, Y = rng.standard_normal((50_000, 10)), rng.integers(0, 10, 50_000)
kde_information(T[:500], Y[:500], noise_variance=0.1)
limit = int(memory("VmData") * 2**20) + 2**31
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print(rise(lambda: print(kde_information(T, Y, noise_variance=0.1).I_XT)))
"""


def test_kde_of_50000_samples_fits_into_2_gib():
    """A whole matrix of distances would take 20 GB."""
    command = [sys.executable, "-W", "ignore", "-c", LIMITED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SCRIPT.parent)
    information, increase = map(float, done.stdout.split())
    assert 0 < information <= np.log2(50_000)
    assert increase < 2048
