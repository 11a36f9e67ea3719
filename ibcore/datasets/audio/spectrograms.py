"""From clips to log-mel spectrograms: decoding, mel bands, splitting, and a checked cache.

A spectrogram is stored in eight bits: v means 80 (v / 255 - 1) dB below the clip's own maximum.
"""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from filelock import FileLock

from ibcore.datasets.registry import LOG

RANGE_DB = 80.0
SOUNDS = (".mp3", ".wav", ".ogg", ".flac")
PICTURES = (".png", ".jpg", ".jpeg")
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
SPLIT_SEED = 0


@dataclass(frozen=True)
class Mel:
    """How a clip becomes a spectrogram.

    Attributes
    ----------
    sample_rate : int
        Samples per second to which every clip is brought.
    n_fft, hop_length : int
        Window and step of the short-time Fourier transform, in samples.
    bands : int
        Mel bands, the rows.
    columns : int
        Time steps that are kept; the frames are averaged into them.
    seconds : float
        The clip is cut there.

    Raises
    ------
    ValueError
        A value is not positive.
    """

    sample_rate: int = 22_050
    n_fft: int = 2048
    hop_length: int = 512
    bands: int = 128
    columns: int = 128
    seconds: float = 30.0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"{field.name} must be positive, got {value!r}")


def average_blocks(values, parts, axis):
    """Average an axis into a given number of blocks as equal as can be.

    Parameters
    ----------
    values : array
    parts : int
        Blocks; block i holds the entries from floor(i n / parts) to floor((i + 1) n / parts).
    axis : int

    Returns
    -------
    array
        As `values`, with `parts` entries along `axis`.

    Raises
    ------
    ValueError
        Fewer entries than blocks.

    Examples
    --------
    >>> average_blocks(np.array([[1.0, 3.0, 5.0, 7.0]]), 2, 1).tolist()
    [[2.0, 6.0]]
    """
    n = values.shape[axis]
    if not 1 <= parts <= n:
        raise ValueError(f"{n} entries cannot be averaged into {parts} blocks")
    starts = np.arange(parts) * n // parts
    lengths = np.diff(np.append(starts, n))
    shape = [1] * values.ndim
    shape[axis] = parts
    return np.add.reduceat(values, starts, axis=axis) / lengths.reshape(shape)


def log_mel(sound, sample_rate, mel):
    r"""Log-mel spectrogram of a clip, in eight bits.

    .. math:: v = \operatorname{round} 255 (1 + S / 80), \qquad
        S = \max(10 \log_{10} (P / \max P), -80)

    with P the mel power spectrogram, averaged in dB to ``mel.columns`` time steps.

    Parameters
    ----------
    sound : float array (samples,)
    sample_rate : int
        Of `sound`; it is resampled if ``mel.sample_rate`` is another.
    mel : Mel

    Returns
    -------
    uint8 array (mel.bands, mel.columns)
        Row 0 is the lowest band.

    Raises
    ------
    ValueError
        A clip that is silent, not finite, or too short for the columns.

    References
    ----------
    Padova slides, "Data: Mel-spectrogram representation of audio".
    """
    import librosa

    sound = np.asarray(sound, dtype=np.float32)
    if not np.isfinite(sound).all():
        raise ValueError("the clip holds values that are not finite")
    if not sound.any():
        raise ValueError("the clip is silent")
    if sample_rate != mel.sample_rate:
        sound = librosa.resample(sound, orig_sr=sample_rate, target_sr=mel.sample_rate)
    if 1 + len(sound) // mel.hop_length < mel.columns or len(sound) < mel.n_fft:
        raise ValueError(f"{len(sound)} samples are too few for {mel.columns} columns")
    power = librosa.feature.melspectrogram(
        y=sound,
        sr=mel.sample_rate,
        n_fft=mel.n_fft,
        hop_length=mel.hop_length,
        n_mels=mel.bands,
    )
    decibel = librosa.power_to_db(power, ref=np.max, top_db=RANGE_DB).astype(np.float64)
    decibel = average_blocks(decibel, mel.columns, 1)
    return np.rint(255 * (1 + decibel / RANGE_DB)).astype(np.uint8)


def read_sound(path, mel):
    """Log-mel spectrogram of an mp3, wav, ogg or flac file; channels are averaged.

    Raises
    ------
    ValueError
        A file that cannot be decoded, lasts less than half of ``mel.seconds`` (FMA-small has six
        such clips), or is refused by `log_mel`.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            sound = file.read(int(mel.seconds * rate), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise ValueError(f"{path}: cannot be decoded ({error})") from error
    if len(sound) < mel.seconds * rate / 2:
        raise ValueError(f"{path}: lasts {len(sound) / rate:.1f} of {mel.seconds:g} s")
    try:
        return log_mel(sound.mean(1), rate, mel)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_picture(path, mel):
    """Brightness of a spectrogram picture, low tones at its lower edge, as `log_mel` returns it.

    Raises
    ------
    ValueError
        A file that is no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            size = (mel.columns, mel.bands)
            grey = picture.convert("L").resize(size, Image.Resampling.BOX)
    except Exception as error:  # Pillow answers damaged files with many kinds
        raise ValueError(f"{path}: cannot be read as a picture ({error})") from error
    return np.asarray(grey)[::-1].copy()


def _read(path, mel):
    """One spectrogram, or None and the reason."""
    reader = read_picture if path.suffix.lower() in PICTURES else read_sound
    try:
        return reader(path, mel), ""
    except ValueError as error:
        return None, str(error)


def read_files(paths: Sequence[Path], mel: Mel):
    """Spectrograms of many files, over all processors; files that cannot be read are left out.

    Returns
    -------
    pictures : uint8 array (m, mel.bands, mel.columns)
    kept : int64 array (m,)
        Positions in `paths`; the others were left out, each with a warning in the log.

    Raises
    ------
    ValueError
        No file can be read.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    jobs = -1 if len(paths) > 100 else 1
    results = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_read)(path, mel) for path in paths
    )
    pictures, kept = [], []
    bar = tqdm(results, total=len(paths), desc="spectrograms", mininterval=1.0, leave=False)
    for position, (picture, reason) in enumerate(bar):
        if picture is None:
            LOG.warning("left out: %s", reason)
        else:
            pictures.append(picture)
            kept.append(position)
    if not kept:
        raise ValueError(f"none of the {len(paths)} files can be read; the last one: {reason}")
    return np.stack(pictures), np.array(kept)


def stratified_split(labels, split):
    """Positions of one part of an 80/10/10 split that keeps the shares of the classes.

    The split is drawn once and for all (seed `SPLIT_SEED`), class by class; of a class with m
    clips round(0.8 m) are for training, round(0.1 m) for validation, the rest for the test. The
    clips of a part are in random order, so that the first ones are of all classes.

    Parameters
    ----------
    labels : integer array (n,)
    split : {"train", "validation", "test"}

    Returns
    -------
    int64 array

    Raises
    ------
    ValueError
        Unknown split.

    References
    ----------
    Padova slides, "Stratified split".

    Examples
    --------
    >>> [len(stratified_split([0] * 10 + [1] * 20, part)) for part in SHARES]
    [24, 3, 3]
    """
    if split not in SHARES:
        raise ValueError(f"unknown split {split!r}; known are {', '.join(SHARES)}")
    labels = np.asarray(labels)
    rng = np.random.default_rng(SPLIT_SEED)
    chosen = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        first = round(SHARES["train"] * len(members))
        second = first + round(SHARES["validation"] * len(members))
        parts = {
            "train": members[:first],
            "validation": members[first:second],
            "test": members[second:],
        }
        chosen.append(parts[split])
    return rng.permutation(np.concatenate(chosen))


def cache_path(folder: Path, mel: Mel, content: Sequence) -> Path:
    """A file in `folder` named after the parameters and `content` (anything with a stable repr)."""
    key = hashlib.sha256(repr((asdict(mel), list(content))).encode()).hexdigest()[:16]
    return folder / f"spectrograms-{key}.npz"


def cached(path: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays from a file, made and stored if it is not there or damaged.

    The file begins with the SHA-256 of its name and the rest, and appears in one step. One process
    makes the arrays while others wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        found = _stored(path)
        if found is None:
            found = make()
            _store(path, found)
        return found


def _stored(path):
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if _seal(path, content[32:]) == content[:32]:
        with suppress(ValueError), np.load(io.BytesIO(content[32:]), allow_pickle=False) as arrays:
            return dict(arrays)
    LOG.warning("%s is damaged and made anew", path)
    return None


def _seal(path, content):
    return hashlib.sha256(path.name.encode() + content).digest()


def _store(path, arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    content = buffer.getvalue()
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(_seal(path, content) + content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
