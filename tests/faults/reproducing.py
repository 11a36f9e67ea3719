"""A copy of the checkout whose `make reproduce` leaves its results in other folders."""

import os
import shutil
import signal
import subprocess
import sys

from test_make import CHECKOUT, REAL, Copy


class Reproducing(Copy):
    """The copy with all notebooks and this Python."""

    def __init__(self, folder):
        super().__init__(folder, REAL.format(sys.executable))
        for name in ("notebooks", "data/published"):
            shutil.copytree(CHECKOUT / name, self.root / name, dirs_exist_ok=True)
        self.environment |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}

    def change(self, file, before, after):
        """Replace a text in a file of the package."""
        path = self.root / "ibcore" / file
        source = path.read_text()
        assert before in source
        path.write_text(source.replace(before, after))

    def reproduce(self, output, notebooks, *, jobs=1, dies_after=None):
        """Run the command or kill it; whether it had been killed."""
        process = self.start(
            "reproduce",
            f"-j{jobs}",
            "PROFILE=smoke",
            f"ONLY={' '.join(notebooks)}",
            IBCORE_OUTPUT=str(output),
            IBCORE_JOBS=str(jobs),
        )
        try:
            _, errors = process.communicate(timeout=dies_after or 1800)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
            return True
        assert process.returncode == 0, errors
        return False


def results_in(output):
    """Every table, figure and stored table, byte by byte; stored times differ by nature."""
    figures = [path for path in output.glob("figures/**/*") if path.name != "manifest.json"]
    tables = [path for path in output.glob("data/runs/*/*/*.csv") if path.stem != "timings"]
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in figures + tables
        if path.is_file() and not path.relative_to(output).parent.name.startswith(".")
    }
