"""FMA-small: 8 genres, 1,000 clips of 30 s each; other music takes its place where it lacks.

Free Music Archive: Defferrard, Benzi, Vandergheynst and Bresson (2017), arXiv:1612.01840.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from ibcore.datasets import fetch
from ibcore.datasets.audio import gtzan
from ibcore.datasets.audio.genres import GENRES, render
from ibcore.datasets.audio.spectrograms import (
    PICTURES,
    SHARES,
    SOUNDS,
    Mel,
    average_blocks,
    cache_path,
    cached,
    log_mel,
    read_files,
    stratified_split,
)
from ibcore.datasets.registry import LOG, Dataset, DataUnavailable, register

TITLE = "FMA-small"
ADDRESS = "https://os.unil.cloud.switch.ch/fma/"
#: sha1 of the two archives, as the authors give them.
ARCHIVES = {
    "fma_metadata": "f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
    "fma_small": "ade154f733639d52e35e32f5593efe5be76c6d70",
}
CLIPS = "music"
STANDIN = "simulated genres"
STANDIN_CLIPS = 50  # of each genre
STANDIN_SECONDS = 5.0
OPTIONS = {"size": 128} | {field.name: field.default for field in fields(Mel)}


@dataclass(frozen=True)
class Found:
    """Spectrograms of all usable clips of one collection, and the words for its origin."""

    mel: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    title: str
    note: str
    folder: Path
    source: str = "local"


def read_tracks(path):
    """Read which clips belong to FMA-small, and their genres.

    Parameters
    ----------
    path : path
        ``tracks.csv`` with its three header rows: group, name, and the name of the index.

    Returns
    -------
    dict
        Track number to genre, in the order of the file.

    Raises
    ------
    ValueError
        The columns (set, subset) or (track, genre_top) are missing, a row is damaged, or no track
        is in the subset.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        try:
            columns = list(zip(next(rows, ()), next(rows, ()), strict=False))
            next(rows, None)
            subset, genre = columns.index(("set", "subset")), columns.index(("track", "genre_top"))
            tracks = {int(row[0]): row[genre] for row in rows if row[subset] == "small"}
        except (ValueError, IndexError, csv.Error) as error:
            raise ValueError(f"{path}: not the tracks.csv of FMA ({error})") from error
    if not tracks:
        raise ValueError(f"{path}: no track is in the subset 'small'")
    return tracks


def _fma(place, mel, cache):
    for folder in (place / "fma", place):
        table = folder / "fma_metadata" / "tracks.csv"
        if not (folder / "fma_small").is_dir() or not table.is_file():
            continue
        tracks = read_tracks(table)
        paths, genres = [], []
        for number, genre in tracks.items():
            path = folder / "fma_small" / f"{number:06d}"[:3] / f"{number:06d}.mp3"
            if path.is_file():
                paths.append(path)
                genres.append(genre)
        note = f"FMA-small, {len(tracks) - len(paths)} of {len(tracks)} clips lack a file"
        source = fetch.recorded_source(folder, tuple(ARCHIVES))
        return replace(_files(paths, genres, mel, cache, TITLE, note, folder), source=source)
    return None


def _clips(place, mel, cache):
    folder = place / CLIPS
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    for endings, kind in ((SOUNDS, "clips"), (PICTURES, "spectrogram pictures")):
        paths = [path for path in files if path.suffix.lower() in endings]
        if paths:
            genres = [path.parent.name for path in paths]
            title = f"own {kind} in place of {TITLE}"
            return _files(paths, genres, mel, cache, title, f"Own {kind}", folder)
    return None


def _gtzan(place, mel, cache):
    path = place / "gtzan" / gtzan.FILE
    if not path.is_file():
        return None
    pictures, labels, classes = gtzan.read(path)
    note = (
        "GTZAN music genres, mel spectrograms with settings of their own, recovered from pictures"
    )
    return Found(pictures, labels, classes, f"GTZAN in place of {TITLE}", note, path.parent)


def _files(paths, genres, mel, cache, title, note, folder):
    """Spectrograms of `paths`, made once; the cache notices files that changed."""
    if not paths:
        raise ValueError(f"{folder}: no clips")
    classes = tuple(sorted(set(genres)))
    labels = np.array([classes.index(genre) for genre in genres])
    state = [(str(p.relative_to(folder)), (s := p.stat()).st_size, s.st_mtime_ns) for p in paths]

    def make():
        pictures, kept = read_files(paths, mel)
        return {"mel": pictures, "kept": kept}

    arrays = cached(cache_path(cache, mel, state), make)
    kept = arrays["kept"]
    note = f"{note}; {len(paths) - len(kept)} of {len(paths)} clips cannot be used and are left out"
    return Found(arrays["mel"], labels[kept], classes, title, note, folder)


def _find(request, mel):
    """The first collection there is: FMA-small anywhere, then own clips, then GTZAN."""
    for reader in (_fma, _clips, _gtzan):
        for place, _ in request.places():
            found = reader(place, mel, _cache(request))
            if found:
                return found
    return None


def _download(request):
    folder = request.raw / "fma"
    for name, sha1 in ARCHIVES.items():
        fetch.obtain_archive(f"{ADDRESS}{name}.zip", folder, name, sha1=sha1)


def _shrunk(pictures, size):
    """uint8 (n, bands, columns) as float32 (n, 1, size, size) in [0, 1]."""
    small = average_blocks(average_blocks(pictures.astype(np.float32), size, 1), size, 2)
    return (small / 255).astype(np.float32)[:, None]


@register("fma", title=TITLE, splits=SHARES, options=OPTIONS)
def _load(request):
    options = dict(request.options)
    size, mel = options.pop("size"), Mel(**options)
    if request.hermetic:
        return _standin(request, mel, size)
    found = _find(request, mel)
    if found is None and request.allow_standin:
        LOG.warning("%s is not there, and too large to fetch unasked: %s", TITLE, STANDIN)
        return _standin(request, mel, size)
    if found is None:
        try:
            _download(request)
            found = _find(request, mel)
            if found is None:
                raise fetch.FetchFailed(f"the files vanished from {request.raw / 'fma'}")
        except fetch.FetchFailed as failure:
            raise DataUnavailable(_advice(request, failure)) from failure
    members = stratified_split(found.labels, request.split)
    members = members[_pick(request, len(members), exact=found.title == TITLE)]
    return Dataset(
        name=request.name,
        split=request.split,
        X=_shrunk(found.mel[members], size),
        Y=found.labels[members],
        classes=found.classes,
        source=found.source,
        note=f"{found.note}; {request.split} part of a stratified 80/10/10 split.",
        title=found.title,
        folder=found.folder,
    )


def _pick(request, available, *, exact):
    """Positions of the wanted clips; where others take the place of FMA-small, all if too few."""
    if not exact and request.n is not None and request.n > available:
        LOG.warning("there are only %d of the %d clips wanted", available, request.n)
        return np.arange(available)
    return request.pick(available)


def _advice(request, failure):
    looked = ", ".join(str(place) for place, _ in request.places())
    return (
        f"{TITLE} is not available.\nLooked in {looked}. Then tried:\n  {failure}\n"
        f"To go on, fetch {' and '.join(f'{name}.zip' for name in ARCHIVES)} (8 GB) from {ADDRESS} "
        f"and unpack them into {request.raw / 'fma'} (or set IBCORE_DATA to a folder with fma/, or "
        f"with your own clips as {CLIPS}/<genre>/<clip>), or allow the stand-in where the profile "
        "does."
    )


def _standin(request, mel, size):
    """Simulated clips through the same spectrograms; clip i of a genre is the same everywhere."""
    mel = replace(mel, seconds=min(mel.seconds, STANDIN_SECONDS))
    labels = np.repeat(np.arange(len(GENRES)), STANDIN_CLIPS)
    members = stratified_split(labels, request.split)
    members = members[_pick(request, len(members), exact=False)]
    names = tuple(GENRES)

    def make():
        clips = (
            render(
                names[labels[member]],
                seed=int(member),
                seconds=mel.seconds,
                sample_rate=mel.sample_rate,
            )
            for member in members
        )
        return {"mel": np.stack([log_mel(clip, mel.sample_rate, mel) for clip in clips])}

    made = make() if request.hermetic else cached(_standin_path(request, mel, members), make)
    return request.dataset(
        _shrunk(made["mel"], size),
        labels[members],
        classes=names,
        source="stand-in",
        standin=STANDIN,
        note=(
            f"stand-in: {len(GENRES)} simulated genres, {STANDIN_CLIPS} clips of {mel.seconds:g} s "
            f"each, rendered as sound, used in place of {TITLE}."
        ),
    )


def _standin_path(request, mel, members):
    return cache_path(_cache(request), mel, [STANDIN, *members.tolist()])


def _cache(request):
    """Hidden, so that it does not count as a data file."""
    return request.raw / "fma" / ".spectrograms"
