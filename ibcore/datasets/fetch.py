"""Fetching files so that a file under its final name is always whole and checked.

Everything arrives in a temporary folder beside the target, is checked there, and is moved with
``os.replace``. A lock lets one process fetch while others wait and then use what it brought.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import stat
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock

LOG = logging.getLogger("ibcore.datasets")
CONNECT_SECONDS, READ_SECONDS = 5, 20  # for one connection, and for one silence within it
PROGRAM_SECONDS = 180  # for one run of apt-get or dpkg-deb
LOCK_SECONDS = 900  # for another process to finish its fetching
RETRY_SECONDS = 60  # a source that failed is not asked again by this process within that time

_TEMPORARY = ".fetching-"
_RECORD = "SOURCE.json"
_failed: dict[str, tuple[float, str]] = {}


class FetchFailed(Exception):
    """No source delivered; the message says, line by line, what each answered."""


@dataclass(frozen=True)
class Source:
    """A place to fetch from.

    Attributes
    ----------
    kind : str
        "official" or "mirror".
    where : str
        In words or as an address, for people.
    fetch : callable
        ``fetch(files, folder)`` puts ``folder/<file>.gz`` there for each name in `files`, or
        raises OSError, ValueError or subprocess.SubprocessError.
    """

    kind: str
    where: str
    fetch: Callable[[list[str], Path], None]


def download(address):
    """Return a fetcher of ``<address><file>.gz`` over the web."""

    def fetch(files, folder):
        from pooch import HTTPDownloader
        from requests import ConnectionError, Timeout

        get = HTTPDownloader(timeout=(CONNECT_SECONDS, READ_SECONDS), chunk_size=1 << 16)
        for file in files:
            try:
                get(f"{address}{file}.gz", str(folder / f"{file}.gz"), None)
            except (ConnectionError, Timeout) as error:  # their own words fill half a page
                raise OSError("no connection, or it broke off") from error

    return fetch


def debian_package(package, inside):
    """Return a fetcher of ``<inside>/<file>.gz`` from a Debian package, without root rights.

    The lists of packages are fetched into the temporary folder too, so that the machine's own
    are neither needed nor changed.
    """

    def fetch(files, folder):
        for program in ("apt-get", "dpkg-deb"):
            if shutil.which(program) is None:
                raise FileNotFoundError(f"the program {program} is not on this machine")
        lists, cache, tree = (folder / name for name in ("lists", "cache", "tree"))
        (lists / "partial").mkdir(parents=True)
        (cache / "archives" / "partial").mkdir(parents=True)
        apt = ["apt-get", "--quiet"]
        for option in (
            f"Dir::State::Lists={lists}",
            f"Dir::Cache={cache}",
            f"Acquire::http::Timeout={CONNECT_SECONDS}",
            f"Acquire::https::Timeout={CONNECT_SECONDS}",
            "Acquire::Retries=0",
        ):
            apt += ["-o", option]
        _run([*apt, "update"], folder)
        _run([*apt, "download", package], folder)
        for archive in folder.glob("*.deb"):
            _run(["dpkg-deb", "-x", str(archive), str(tree)], folder)
        for file in files:
            os.replace(tree / inside / f"{file}.gz", folder / f"{file}.gz")

    return fetch


def _run(command, folder):
    """Run a program in a folder; raise OSError with the last thing it said if it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PROGRAM_SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise OSError(errno.ENOSPC, said[-1])
        raise OSError(f"{command[0]} failed with status {done.returncode}: {said[-1]}")


def missing(folder, files, *, plain=True):
    """Return those of `files` that are in `folder` neither as gzip nor, if that will do, plain."""
    return [
        file
        for file in files
        if not (folder / f"{file}.gz").is_file() and not (plain and (folder / file).is_file())
    ]


def locked(folder):
    """Return the lock that guards changes in `folder`."""
    return FileLock(folder / ".lock", timeout=LOCK_SECONDS)


def obtain(folder, files, sources, check, *, plain=True):
    """Bring the files that `folder` lacks into it, from the first source that delivers.

    Parameters
    ----------
    folder : Path
        Made if need be.
    files : sequence of str
        Names without ".gz".
    sources : sequence of Source
        Asked in this order.
    check : callable
        ``check(path, file)`` raises ValueError for wrong content.
    plain : bool
        A file that is there without the ending ".gz" is not fetched.

    Raises
    ------
    FetchFailed
        No source delivered, or the folder cannot be written.
    OSError
        The disk is full (errno ENOSPC or EDQUOT); nothing half-written is left.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            _remove_left_overs(folder)
            wanted, answers = missing(folder, files, plain=plain), []
            for source in sources:
                if not wanted:
                    return
                answer = _ask(source, wanted, folder, check)
                if answer is None:
                    return
                answers.append(f"{source.where}: {answer}")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                error.errno,
                f"no space left while fetching {', '.join(files)}; nothing half-written was left",
                str(folder),
            ) from error
        raise FetchFailed(f"cannot fetch into {folder}: {error}") from error
    if answers:
        raise FetchFailed("\n".join(answers))


def _remove_left_overs(folder):
    """Remove the temporary folders of processes that were killed; wants the lock."""
    for left_over in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(left_over, ignore_errors=True)


def _want_room(folder, size, what):
    """Raise OSError (errno ENOSPC) unless `size` bytes are free where `folder` lies."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            errno.ENOSPC,
            f"{what} needs {size / 1e9:.1f} GB, {free / 1e9:.1f} are free",
            str(folder),
        )


def _ask(source, files, folder, check):
    """Fetch from one source; return None, or in one line why it did not deliver."""
    failed = _failed.get(source.where)
    if failed and time.monotonic() - failed[0] < RETRY_SECONDS:
        return failed[1]
    LOG.info("fetching %s from %s", ", ".join(files), source.where)
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder.resolve()))
    try:
        source.fetch(files, temporary)
        for file in files:
            check(temporary / f"{file}.gz", file)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        answer = " ".join(str(error).replace(f"{temporary}{os.sep}", "").split())[:300]
        LOG.warning("%s did not deliver: %s", source.where, answer)
        _failed[source.where] = (time.monotonic(), answer)
        return answer
    else:
        _record(folder, temporary, dict.fromkeys(files, source.kind))
        for file in files:
            os.replace(temporary / f"{file}.gz", folder / f"{file}.gz")
        return None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _record(folder, temporary, kinds):
    """Add {file: kind of source} to the record in `folder`."""
    text = json.dumps({**_recorded(folder), **kinds}, indent=1, sort_keys=True)
    (temporary / _RECORD).write_text(text + "\n", encoding="utf-8")
    os.replace(temporary / _RECORD, folder / _RECORD)


def _recorded(folder):
    """Return the record of a folder; empty if there is none that can be read."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def recorded_source(folder, files):
    """Return "official" or "mirror" if `obtain` brought all these files, else "local"."""
    record = _recorded(folder)
    kinds = {record.get(file) for file in files}
    if kinds == {"official"}:
        return "official"
    return "mirror" if kinds <= {"official", "mirror"} else "local"


def obtain_archive(address, folder, name, *, sha1):
    """Bring ``folder/name`` out of one large zip archive; go on where an earlier call stopped.

    The archive arrives in ``folder/name.zip.part``, which stays there when the connection breaks.
    Before anything is fetched the disk must have room for the archive and, once more, for what is
    in it; before it is unpacked, for what its table of contents promises.

    Parameters
    ----------
    address : str
        Of the archive.
    folder : Path
        Made if need be.
    name : str
        Folder in the archive, and in `folder` when done; nothing happens if it is there.
    sha1 : str
        Of the archive.

    Raises
    ------
    FetchFailed
        No answer, a wrong answer, wrong content (the part is removed), or the folder cannot be
        written.
    OSError
        There is no room on the disk (errno ENOSPC).
    """
    from requests import RequestException

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            _remove_left_overs(folder)
            if (folder / name).is_dir():
                return
            part = folder / f"{name}.zip.part"
            _continue(address, part)
            _unpack(part, folder, name, sha1)
    except RequestException as error:
        raise FetchFailed(f"{address}: no connection, or it broke off") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FetchFailed(f"{address}: {error}") from error


def _continue(address, part):
    """Fetch what `part` lacks, with a progress bar."""
    import requests
    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    answer = requests.get(
        address,
        headers={"Range": f"bytes={have}-"},
        stream=True,
        timeout=(CONNECT_SECONDS, READ_SECONDS),
    )
    with answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # it was whole already
        if not answer.ok:
            raise OSError(f"the answer is HTTP status {answer.status_code}")
        goes_on = answer.status_code == requests.codes.partial_content
        have = have if goes_on else 0
        total = have + int(answer.headers["Content-Length"])
        _want_room(part.parent, 2 * total - have, address)
        with (
            open(part, "ab" if goes_on else "wb") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem) as bar,
        ):
            for chunk in answer.iter_content(1 << 20):
                file.write(chunk)
                bar.update(len(chunk))


def _refuse_strangers(archive):
    """Raise ValueError if something in a zip archive leads out of it or is no file or folder."""
    for member in archive.infolist():
        place, kind = PurePosixPath(member.filename), stat.S_IFMT(member.external_attr >> 16)
        outside = place.is_absolute() or ".." in place.parts
        if outside or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"the archive holds {member.filename!r}, which is not unpacked")


def _unpack(part, folder, name, sha1):
    """Check an archive, unpack it beside `folder`/`name`, move that into place, drop the rest."""
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, "sha1").hexdigest()
    if found != sha1:
        part.unlink()
        raise ValueError(f"wrong content: sha1 is {found}, expected {sha1}; it was removed")
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder.resolve()))
    try:
        with zipfile.ZipFile(part) as archive:
            _refuse_strangers(archive)
            size = sum(member.file_size for member in archive.infolist())
            _want_room(folder, size, f"unpacking {part.name}")
            archive.extractall(temporary)
        _record(folder, temporary, {name: "official"})
        os.replace(temporary / name, folder / name)
        part.unlink()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
