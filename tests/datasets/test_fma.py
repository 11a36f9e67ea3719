"""Music by name: every layout, the stand-in, and a large archive that arrives in pieces."""

import errno
import hashlib
import io
import logging
import shutil
import zipfile

import numpy as np
import pytest
import requests
import soundfile
from PIL import Image

from ibcore.datasets import DataUnavailable, fetch, load, registry
from ibcore.datasets.audio import fma, genres, gtzan

SMALL = {
    "sample_rate": 8000,
    "n_fft": 512,
    "hop_length": 128,
    "bands": 16,
    "columns": 16,
    "seconds": 1.0,
    "size": 8,
}
HEADER = ",album,set,set,track\n,comments,split,subset,genre_top\ntrack_id,,,,\n"


def clip(seed, name="waltz"):
    return genres.render(name, seed=seed, seconds=1.0, sample_rate=8000)


def write_fma(folder, *, clips=20, broken=()):
    """FMA's layout with two genres; tracks of another subset come between."""
    (folder / "fma_metadata").mkdir(parents=True)
    rows = []
    for number in range(2, 2 + clips):
        genre = "Rock" if number % 2 else "Hip-Hop"
        rows += [f"{number},0,training,small,{genre}", f"{number + 5000},0,training,medium,Folk"]
        path = folder / "fma_small" / f"{number:06d}"[:3] / f"{number:06d}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number in broken:
            path.write_bytes(b"nothing")
        else:
            soundfile.write(path, clip(number), 8000, format="MP3")
    table = folder / "fma_metadata" / "tracks.csv"
    table.write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    return table


def write_gtzan(folder):
    (folder / "gtzan").mkdir(parents=True)
    rng = np.random.default_rng(0)
    np.savez(
        folder / "gtzan" / gtzan.FILE,
        mel=rng.integers(0, 256, (40, 128, 128), dtype=np.uint8),
        label=np.repeat([0, 1], 20).astype(np.uint8),
        genre=np.array(["blues", "rock"]),
    )


# ---------------------------------------------------------------- tracks.csv


def test_tracks(tmp_path):
    table = write_fma(tmp_path, clips=3)
    assert fma.read_tracks(table) == {2: "Hip-Hop", 3: "Rock", 4: "Hip-Hop"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER.replace("subset", "sub"), r"not the tracks.csv of FMA \(\('set', 'subset'\)"),
        ("", "not the tracks.csv of FMA"),
        (HEADER + "2,0,training,large,Rock\n", "no track is in the subset 'small'"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, words):
    (tmp_path / "tracks.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        fma.read_tracks(tmp_path / "tracks.csv")


# ---------------------------------------------------------------- layouts


@pytest.mark.parametrize("inside", ["fma", "."])
def test_the_layout_of_fma(tmp_path, sealed, inside, caplog):
    write_fma(tmp_path / "own" / inside, broken=(4,))
    (tmp_path / "own" / inside / "fma_small" / "000" / "000006.mp3").unlink()
    parts = {s: load("fma", s, root=tmp_path / "own", **SMALL) for s in registry.splits("fma")}
    train = parts["train"]
    assert {s: len(part) for s, part in parts.items()} == {"train": 14, "validation": 2, "test": 2}
    assert train.X.shape == (14, 1, 8, 8)
    assert (train.source, train.label, train.classes) == ("local", "FMA-small", ("Hip-Hop", "Rock"))
    assert "1 of 20 clips lack a file; 1 of 19 clips cannot be used" in train.note
    assert caplog.text.count("000004.mp3: cannot be decoded") == 1
    assert train.folder == tmp_path / "own" / inside
    assert 0 <= train.X.min() < train.X.max() <= 1
    together = np.concatenate([part.X for part in parts.values()])
    assert len(np.unique(together.reshape(18, -1), axis=0)) == 18


def test_spectrograms_are_made_once_and_again_for_changed_files(tmp_path, sealed, monkeypatch):
    write_fma(tmp_path / "own")
    first = load("fma", "train", root=tmp_path / "own", **SMALL)
    hidden = [path.relative_to(sealed) for path in sealed.rglob("*.npz")]
    assert [path.parts[:2] for path in hidden] == [("fma", ".spectrograms")]
    monkeypatch.setattr(fma, "read_files", None)
    again = load("fma", "train", root=tmp_path / "own", **SMALL)
    assert again.fingerprint == first.fingerprint
    monkeypatch.undo()
    monkeypatch.setenv("IBCORE_OUTPUT", str(sealed.parents[1]))
    path = tmp_path / "own" / "fma_small" / "000" / "000003.mp3"
    soundfile.write(path, clip(3, "march"), 8000, format="MP3")
    changed = load("fma", "train", root=tmp_path / "own", **SMALL)
    assert changed.fingerprint != first.fingerprint


def test_fetched_files_are_official(sealed):
    write_fma(sealed / "fma")
    record = sealed / "fma" / "SOURCE.json"
    record.write_text('{"fma_metadata": "official", "fma_small": "official"}')
    assert load("fma", "test", **SMALL).source == "official"


def test_an_empty_layout_is_an_error(tmp_path):
    write_fma(tmp_path / "own")
    shutil.rmtree(tmp_path / "own" / "fma_small" / "000")
    with pytest.raises(ValueError, match="own: no clips"):
        load("fma", "train", root=tmp_path / "own", **SMALL)


def test_own_clips(tmp_path):
    for genre in ("march", "waltz"):
        (tmp_path / "music" / genre).mkdir(parents=True)
        for i in range(10):
            path = tmp_path / "music" / genre / f"{i}.{('wav', 'flac')[i % 2]}"
            soundfile.write(path, clip(i, genre), 8000)
    (tmp_path / "music" / "waltz" / "notes.txt").write_text("not a clip")
    found = load("fma", "train", root=tmp_path, **SMALL)
    assert (len(found), found.classes) == (16, ("march", "waltz"))
    assert (found.source, found.label) == ("local", "own clips in place of FMA-small")
    assert len(load("fma", "train", root=tmp_path, n=1000, **SMALL)) == 16


def test_own_pictures(tmp_path):
    rng = np.random.default_rng(0)
    for genre in ("march", "waltz"):
        (tmp_path / "music" / genre).mkdir(parents=True)
        for i in range(10):
            picture = Image.fromarray(rng.integers(0, 256, (40, 50), dtype=np.uint8))
            picture.save(tmp_path / "music" / genre / f"{i}.PNG")
    found = load("fma", "test", root=tmp_path, **SMALL)
    assert (len(found), found.X.shape[1:]) == (2, (1, 8, 8))
    assert found.label == "own spectrogram pictures in place of FMA-small"


def test_gtzan_takes_the_place_of_fma(tmp_path, caplog):
    write_gtzan(tmp_path)
    found = load("fma", "train", root=tmp_path, size=32)
    assert (len(found), found.X.shape[1:]) == (32, (1, 32, 32))
    assert (found.source, found.label) == ("local", "GTZAN in place of FMA-small")
    assert not found.is_standin
    assert "mel spectrograms with settings of their own" in found.note
    other = load("fma", "train", root=tmp_path, size=32, bands=64, n_fft=512)
    assert other.fingerprint == found.fingerprint
    with caplog.at_level(logging.WARNING, logger="ibcore.datasets"):
        assert len(load("fma", "train", root=tmp_path, n=33, size=32)) == 32
    assert "there are only 32 of the 33 clips wanted" in caplog.text
    few = load("fma", "train", root=tmp_path, n=20, size=32)
    assert len(few) == 20
    assert np.bincount(few.Y[:10]).min() > 0


def test_fma_goes_before_the_others(tmp_path, sealed):
    write_gtzan(tmp_path)
    write_fma(sealed / "fma")
    assert load("fma", "test", root=tmp_path, **SMALL).label == "FMA-small"
    with pytest.raises(ValueError, match="n = 99 samples wanted, but fma test has 2"):
        load("fma", "test", root=tmp_path, n=99, **SMALL)


def test_the_real_gtzan(real_folder):
    if not (real_folder / "gtzan" / gtzan.FILE).is_file():
        pytest.skip("no GTZAN")
    parts = [load("fma", s, root=real_folder, size=16) for s in registry.splits("fma")]
    assert [len(part) for part in parts] == [799, 100, 100]
    assert [np.bincount(part.Y).min() for part in parts] == [79, 10, 10]
    assert len(parts[0].classes) == 10


# ---------------------------------------------------------------- stand-in and options


def test_the_standin_needs_no_disk(sealed):
    found = load("fma", "train", n=20, allow_standin="only", **SMALL)
    assert (found.source, found.label) == ("stand-in", "stand-in (simulated genres) for FMA-small")
    assert (found.X.shape, found.classes) == ((20, 1, 8, 8), tuple(genres.GENRES))
    assert not sealed.exists()


def test_the_standin_is_cached_where_disk_is_allowed(sealed, monkeypatch, caplog):
    hermetic = load("fma", "test", n=10, allow_standin="only", **SMALL)
    first = load("fma", "test", n=10, allow_standin=True, **SMALL)
    assert first.fingerprint == hermetic.fingerprint
    assert "FMA-small is not there, and too large to fetch unasked" in caplog.text
    monkeypatch.setattr(fma, "render", None)
    again = load("fma", "test", n=10, allow_standin=True, **SMALL)
    assert again.fingerprint == first.fingerprint


def test_standins_are_at_most_five_seconds_and_all_of_them():
    options = {**SMALL, "seconds": 30.0, "sample_rate": 2000, "bands": 8}
    found = load("fma", "test", n=41, allow_standin="only", **options)
    assert len(found) == 8 * fma.STANDIN_CLIPS // 10
    assert "50 clips of 5 s each" in found.note


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("fma", {"window": 3}, "unknown option 'window' of fma; known are size, sample_rate"),
        ("mnist", {"size": 3}, "unknown option 'size' of mnist; known are none"),
        ("fma", {"size": 300}, "16 entries cannot be averaged into 300 blocks"),
    ],
)
def test_options(name, options, words):
    given = {**(SMALL if "size" in options and name == "fma" else {}), **options}
    with pytest.raises(ValueError, match=words):
        load(name, "train", n=2, allow_standin="only", **given)


# ---------------------------------------------------------------- archives


def archive(name="fma_small"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(f"{name}/000/000002.mp3", b"sound" * 1000)
    return buffer.getvalue()


class Site:
    """A web site with one file, which may break off, ignore ranges or answer with an error."""

    def __init__(self, content, *, break_after=None, ranges=True, status=None):
        self.content, self.break_after = content, break_after
        self.ranges, self.status, self.asked = ranges, status, []

    def get(self, address, *, headers, stream, timeout):
        start = int(headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.asked.append((address, start))
        answer = requests.Response()
        answer.raw = io.BytesIO()
        whole = len(self.content)
        answer.status_code = self.status or (416 if start >= whole else 206 if self.ranges else 200)
        body = self.content[start if self.ranges else 0 :]
        answer.headers["Content-Length"] = str(len(body))
        answer.iter_content = lambda size: self.pieces(body)
        return answer

    def pieces(self, body):
        cut = self.break_after
        yield body[:cut]
        if cut is not None:
            raise requests.ConnectionError("broke off")


@pytest.fixture
def site(monkeypatch):
    def use(content=None, **options):
        found = Site(archive() if content is None else content, **options)
        monkeypatch.setattr(requests, "get", found.get)
        return found

    return use


def obtain(folder, content=None, name="fma_small"):
    sha1 = hashlib.sha1(archive() if content is None else content).hexdigest()
    fetch.obtain_archive("http://a.site/fma_small.zip", folder, name, sha1=sha1)


def test_an_archive_is_unpacked_and_remembered(tmp_path, site):
    found = site()
    obtain(tmp_path / "raw")
    file = tmp_path / "raw" / "fma_small" / "000" / "000002.mp3"
    assert file.read_bytes() == b"sound" * 1000
    assert fetch.recorded_source(tmp_path / "raw", ["fma_small"]) == "official"
    assert found.asked == [("http://a.site/fma_small.zip", 0)]
    obtain(tmp_path / "raw")
    assert len(found.asked) == 1
    names = {path.name for path in (tmp_path / "raw").iterdir()} - {".lock"}
    assert names == {"fma_small", "SOURCE.json"}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on(tmp_path, site, ranges):
    site(break_after=100)
    with pytest.raises(fetch.FetchFailed, match="no connection, or it broke off"):
        obtain(tmp_path)
    assert (tmp_path / "fma_small.zip.part").stat().st_size == 100
    found = site(ranges=ranges)
    obtain(tmp_path)
    assert found.asked[0][1] == 100
    assert (tmp_path / "fma_small").is_dir()


def test_a_whole_part_is_not_fetched_again(tmp_path, site):
    (tmp_path / "fma_small.zip.part").write_bytes(archive())
    site()
    obtain(tmp_path)
    assert (tmp_path / "fma_small").is_dir()


def test_wrong_content_is_removed(tmp_path, site):
    site(b"something else")
    with pytest.raises(fetch.FetchFailed, match=r"wrong content: sha1 is .* it was removed"):
        obtain(tmp_path)
    assert not (tmp_path / "fma_small.zip.part").exists()
    site(b"no archive at all")
    with pytest.raises(fetch.FetchFailed, match="not a zip file"):
        obtain(tmp_path, b"no archive at all")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".fetching")]


def test_an_error_of_the_site(tmp_path, site):
    site(status=404)
    with pytest.raises(fetch.FetchFailed, match="the answer is HTTP status 404"):
        obtain(tmp_path)


def test_no_room_is_noticed_before_anything_is_fetched(tmp_path, site, monkeypatch):
    site()
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10_000, 9_000, 1_000))
    with pytest.raises(OSError, match=r"needs 0.0 GB, 0.0 are free") as caught:
        obtain(tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "fma_small.zip.part").exists()


@pytest.mark.parametrize("whole", [True, False])
def test_no_room_is_noticed_before_anything_is_unpacked(tmp_path, site, monkeypatch, whole):
    """Also for an archive that was whole already, or grows more than expected."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("fma_small/000/000002.mp3", bytes(50_000))
    content = content.getvalue()
    part = tmp_path / "fma_small.zip.part"
    if whole:
        part.write_bytes(content)
    site(content)
    usage = type(shutil.disk_usage(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(100_000, 51_000, 49_000))
        with pytest.raises(OSError, match=r"unpacking fma_small\.zip\.part needs") as caught:
            obtain(tmp_path, content)
    assert caught.value.errno == errno.ENOSPC
    assert {path.name for path in tmp_path.iterdir()} == {".lock", part.name}
    obtain(tmp_path, content)
    assert not part.exists()


def test_what_a_killed_process_had_unpacked_is_removed(tmp_path, site):
    (tmp_path / ".fetching-abc" / "fma_small").mkdir(parents=True)
    (tmp_path / ".fetching-abc" / "fma_small" / "1.mp3").write_bytes(b"half")
    site()
    obtain(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "SOURCE.json", "fma_small"}


def test_archives_that_vanish(sealed, monkeypatch):
    monkeypatch.setattr(fetch, "obtain_archive", lambda *_, **__: None)
    with pytest.raises(DataUnavailable, match="the files vanished from"):
        load("fma", "train", **SMALL)


def test_without_standin_the_archives_are_fetched(sealed, monkeypatch, tmp_path):
    fetched = []

    def obtain_archive(address, folder, name, *, sha1):
        fetched.append((address, name, len(sha1)))
        if name == "fma_small":
            write_fma(folder)

    monkeypatch.setattr(fetch, "obtain_archive", obtain_archive)
    found = load("fma", "train", **SMALL)
    assert fetched == [(f"{fma.ADDRESS}{name}.zip", name, 40) for name in fma.ARCHIVES]
    assert (len(found), found.folder) == (16, sealed / "fma")


def test_the_advice_when_nothing_can_be_fetched(sealed):
    with pytest.raises(DataUnavailable) as caught:
        load("fma", "train")
    text = str(caught.value)
    assert f"Looked in {sealed}" in text
    assert "fma_metadata.zip: no connection" in text
    assert f"unpack them into {sealed / 'fma'}" in text
