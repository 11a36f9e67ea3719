"""Fetching: whole and checked, or nothing; one process fetches, the others wait."""

import errno
import os
import subprocess
import sys
import threading
import time

import pooch
import pytest
import requests
from datasets_helpers import REPOSITORY

from ibcore.datasets import fetch, load, mnist

FILES = ["one", "two"]


def accept(path, file):
    if path.read_bytes() != file.encode():
        raise ValueError(f"{path}: wrong content")


def deliver(files, folder):
    for file in files:
        (folder / f"{file}.gz").write_bytes(file.encode())


def source(action=deliver, kind="official", where="there"):
    return fetch.Source(kind, where, action)


def refusing(error):
    def refuse(files, folder):
        deliver(files[:1], folder)
        raise error

    return refuse


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_obtain_brings_what_is_missing(tmp_path):
    asked = []

    def watch(files, folder):
        asked.append(list(files))
        deliver(files, folder)

    folder = tmp_path / "raw" / "set"
    fetch.obtain(folder, FILES, [source(watch)], accept)
    assert visible(folder) == ["SOURCE.json", "one.gz", "two.gz"]
    assert fetch.recorded_source(folder, FILES) == "official"
    fetch.obtain(folder, FILES, [source(watch)], accept)
    (folder / "two.gz").rename(folder / "two")  # a plain file will do
    fetch.obtain(folder, FILES, [source(watch)], accept)
    (folder / "one.gz").unlink()
    fetch.obtain(folder, FILES, [source(watch, "mirror")], accept)
    assert asked == [FILES, ["one"]]
    assert fetch.recorded_source(folder, FILES) == "mirror"


def test_where_plain_files_will_not_do_they_are_fetched(tmp_path):
    (tmp_path / "one").write_text("one")
    assert fetch.missing(tmp_path, FILES) == ["two"]
    assert fetch.missing(tmp_path, FILES, plain=False) == FILES
    fetch.obtain(tmp_path, FILES, [source()], accept, plain=False)
    assert visible(tmp_path) == ["SOURCE.json", "one", "one.gz", "two.gz"]


@pytest.mark.parametrize("record", [None, "{", "[]", '{"one": "official"}'])
def test_without_a_good_record_files_are_local(tmp_path, record):
    if record is not None:
        (tmp_path / "SOURCE.json").write_text(record)
    assert fetch.recorded_source(tmp_path, FILES) == "local"


@pytest.mark.parametrize(
    "error",
    [OSError("line\nbroke"), ValueError("bad"), subprocess.TimeoutExpired("apt-get", 3)],
)
def test_a_failing_source_leaves_nothing_and_the_next_is_asked(tmp_path, error):
    with pytest.raises(fetch.FetchFailed, match=r"^there: .*(line broke|bad|timed out)"):
        fetch.obtain(tmp_path, FILES, [source(refusing(error))], accept)
    assert visible(tmp_path) == []
    sources = [source(refusing(error), where="elsewhere"), source(kind="mirror", where="here")]
    fetch.obtain(tmp_path, FILES, sources, accept)
    assert fetch.recorded_source(tmp_path, FILES) == "mirror"


def test_every_answer_is_told(tmp_path):
    sources = [source(refusing(OSError(str(i))), where=f"place {i}") for i in range(2)]
    with pytest.raises(fetch.FetchFailed, match="place 0: 0\nplace 1: 1"):
        fetch.obtain(tmp_path, FILES, sources, accept)


def test_wrong_content_is_not_let_in(tmp_path):
    def lie(files, folder):
        deliver(files, folder)
        (folder / "two.gz").write_bytes(b"<html>log in first</html>")

    with pytest.raises(fetch.FetchFailed, match=r"^there: two.gz: wrong content$"):
        fetch.obtain(tmp_path, FILES, [source(lie)], accept)
    assert visible(tmp_path) == []


def test_a_failed_source_is_left_alone_for_a_while(tmp_path, monkeypatch):
    calls = []

    def refuse(files, folder):
        calls.append(1)
        raise OSError("no")

    for _ in range(2):
        with pytest.raises(fetch.FetchFailed, match="there: no"):
            fetch.obtain(tmp_path, FILES, [source(refuse)], accept)
    assert len(calls) == 1
    monkeypatch.setattr(fetch, "RETRY_SECONDS", 0)
    with pytest.raises(fetch.FetchFailed, match="there: no"):
        fetch.obtain(tmp_path, FILES, [source(refuse)], accept)
    assert len(calls) == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, number):
    sources = [source(refusing(OSError(number, "full"))), source(where="never asked")]
    with pytest.raises(OSError, match="no space left while fetching one, two; nothing half") as e:
        fetch.obtain(tmp_path, FILES, sources, accept)
    assert e.value.errno == number
    assert visible(tmp_path) == []


def test_a_disk_that_is_full_from_the_start(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(fetch.tempfile, "mkdtemp", full)
    with pytest.raises(OSError, match="no space left"):
        fetch.obtain(tmp_path, FILES, [source()], accept)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(fetch.FetchFailed, match=r"cannot fetch into .*file"):
        fetch.obtain(tmp_path / "file" / "raw", FILES, [source()], accept)


def test_a_lock_that_is_never_released(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "LOCK_SECONDS", 0.1)
    with (
        fetch.locked(tmp_path),
        pytest.raises(fetch.FetchFailed, match=r"cannot fetch into .*lock"),
    ):
        fetch.obtain(tmp_path, FILES, [source()], accept)


def test_two_threads_fetch_once(tmp_path):
    calls = []

    def slow(files, folder):
        calls.append(1)
        time.sleep(0.3)
        deliver(files, folder)

    threads = [
        threading.Thread(target=fetch.obtain, args=(tmp_path, FILES, [source(slow)], accept))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert visible(tmp_path) == ["SOURCE.json", "one.gz", "two.gz"]


PROGRAM = """
import os, sys, time
from pathlib import Path
from ibcore.datasets import fetch
folder, log, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def deliver(files, target):
    (log / str(os.getpid())).touch()
    (target / "one.gz").write_bytes(b"one")
    if how == "die":
        os._exit(9)
    time.sleep(0.8)
    (target / "two.gz").write_bytes(b"two")

fetch.obtain(folder, ["one", "two"], [fetch.Source("official", "there", deliver)],
             lambda path, file: None)
sys.exit(fetch.missing(folder, ["one", "two"]) != [])
"""


def start(folder, log, how):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(log), how], cwd=REPOSITORY
    )


def test_two_processes_fetch_once(tmp_path):
    log = tmp_path / "log"
    log.mkdir()
    both = [start(tmp_path / "raw", log, "live") for _ in range(2)]
    assert [process.wait(timeout=30) for process in both] == [0, 0]
    assert len(list(log.iterdir())) == 1
    assert visible(tmp_path / "raw") == ["SOURCE.json", "one.gz", "two.gz"]


def test_a_killed_process_leaves_nothing_that_looks_finished(tmp_path):
    log, folder = tmp_path / "log", tmp_path / "raw"
    log.mkdir()
    assert start(folder, log, "die").wait(timeout=30) == 9
    assert fetch.missing(folder, FILES) == FILES
    assert all(name.startswith(".") for name in visible(folder))
    fetch.obtain(folder, FILES, [source()], accept)
    assert visible(folder) == ["SOURCE.json", "one.gz", "two.gz"]


class TestDownload:
    def test_names_and_addresses(self, tmp_path, monkeypatch):
        asked = []

        def get(self, url, output_file, pooch, check_only=False):
            asked.append((url, output_file, self.kwargs["timeout"]))

        monkeypatch.setattr(pooch.HTTPDownloader, "__call__", get)
        fetch.download("https://example.org/")(FILES, tmp_path)
        timeout = (fetch.CONNECT_SECONDS, fetch.READ_SECONDS)
        assert asked == [
            (f"https://example.org/{f}.gz", str(tmp_path / f"{f}.gz"), timeout) for f in FILES
        ]

    @pytest.mark.parametrize("error", [requests.ConnectionError, requests.Timeout])
    def test_no_network(self, tmp_path, monkeypatch, error):
        def get(*_, **__):
            raise error("half a page")

        monkeypatch.setattr(pooch.HTTPDownloader, "__call__", get)
        with pytest.raises(OSError, match=r"^no connection, or it broke off$"):
            fetch.download("https://example.org/")(FILES, tmp_path)

    def test_the_real_downloader_without_a_network(self, tmp_path):
        with pytest.raises(OSError, match=r"^no connection, or it broke off$"):
            fetch.download("http://127.0.0.1:9/")(FILES, tmp_path)

    def test_full_disk_keeps_its_number(self, tmp_path, monkeypatch):
        def get(*_, **__):
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(pooch.HTTPDownloader, "__call__", get)
        with pytest.raises(OSError, match="no space left"):
            fetch.obtain(tmp_path, FILES, [source(fetch.download("http://x/"))], accept)


class TestDebianPackage:
    get = staticmethod(fetch.debian_package("some-package", "usr/share/some"))

    def install(self, tmp_path, monkeypatch, apt, dpkg='mkdir -p "$3/usr/share/some"'):
        """Put two shell scripts in the place of the programs."""
        programs = tmp_path / "bin"
        programs.mkdir()
        for name, body in (("apt-get", apt), ("dpkg-deb", dpkg)):
            if body is not None:
                script = f'#!/bin/sh\necho "{name} $@" >> {tmp_path}/log\n{body}\n'
                (programs / name).write_text(script)
                (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
        folder = tmp_path / "temporary"
        folder.mkdir()
        return folder

    def test_unpacks(self, tmp_path, monkeypatch):
        folder = self.install(
            tmp_path,
            monkeypatch,
            'case "$*" in *download*) touch some-package_1.deb;; esac',
            'mkdir -p "$3/usr/share/some"\n'
            'for f in one two; do printf $f > "$3/usr/share/some/$f.gz"; done',
        )
        self.get(FILES, folder)
        for file in FILES:
            accept(folder / f"{file}.gz", file)
        log = (tmp_path / "log").read_text().splitlines()
        assert [line.split()[0] for line in log] == ["apt-get", "apt-get", "dpkg-deb"]
        assert log[0].endswith("update")
        assert log[1].endswith("download some-package")
        assert f"Dir::State::Lists={folder}/lists" in log[0]

    def test_says_what_failed(self, tmp_path, monkeypatch):
        folder = self.install(tmp_path, monkeypatch, "echo first >&2; echo E: no >&2; exit 100")
        with pytest.raises(OSError, match="apt-get failed with status 100: E: no"):
            self.get(FILES, folder)

    def test_says_that_nothing_was_said(self, tmp_path, monkeypatch):
        folder = self.install(tmp_path, monkeypatch, "exit 3")
        with pytest.raises(OSError, match="status 3: it said nothing"):
            self.get(FILES, folder)

    def test_a_full_disk_is_known_by_its_words(self, tmp_path, monkeypatch):
        folder = self.install(tmp_path, monkeypatch, "echo 28: No space left on device >&2; exit 9")
        with pytest.raises(OSError, match="No space left on device") as caught:
            self.get(FILES, folder)
        assert caught.value.errno == errno.ENOSPC

    def test_package_without_the_files(self, tmp_path, monkeypatch):
        folder = self.install(tmp_path, monkeypatch, "touch some-package_1.deb")
        with pytest.raises(FileNotFoundError, match=r"one.gz"):
            self.get(FILES, folder)

    def test_no_such_program(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(FileNotFoundError, match="the program apt-get is not on this machine"):
            self.get(FILES, tmp_path)


def test_the_sources_of_the_package(monkeypatch):
    monkeypatch.undo()
    assert [s.kind for s in mnist.SOURCES["mnist"]] == ["official"]
    assert [s.kind for s in mnist.SOURCES["fashion_mnist"]] == ["official", "mirror"]
    assert all(len(sums) == 4 for sums in mnist.CHECKSUMS.values())


def test_two_loads_share_one_download(tiny, monkeypatch):
    there, calls = tiny.source("fashion_mnist")
    monkeypatch.setitem(mnist.SOURCES, "fashion_mnist", (there,))
    threads = [threading.Thread(target=load, args=("fashion_mnist", s)) for s in mnist.FILES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
