"""A test that hangs fails: nothing here may take minutes."""

import signal

import pytest


@pytest.fixture(autouse=True)
def in_time():
    def stop(number, frame):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
