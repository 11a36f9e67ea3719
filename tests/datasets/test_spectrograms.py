"""Spectrograms against closed forms, files that cannot be read, the split, and the cache."""

import logging
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from PIL import Image

from ibcore.datasets.audio import genres, gtzan, spectrograms
from ibcore.datasets.audio.spectrograms import (
    SHARES,
    Mel,
    average_blocks,
    cache_path,
    cached,
    log_mel,
    read_files,
    read_picture,
    read_sound,
    stratified_split,
)

MEL = Mel(sample_rate=8000, n_fft=512, hop_length=128, bands=16, columns=8, seconds=1.0)


def tone(frequency, *, seconds=1.0, sample_rate=8000, level=0.5):
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (level * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


@pytest.mark.parametrize("field", ["sample_rate", "n_fft", "hop_length", "bands", "seconds"])
@pytest.mark.parametrize("value", [0, -1])
def test_parameters_are_positive(field, value):
    with pytest.raises(ValueError, match=f"{field} must be positive, got {value}"):
        Mel(**{field: value})


# ---------------------------------------------------------------- averaging


@pytest.mark.parametrize("parts", [1, 3, 7, 10])
def test_blocks_agree_with_the_obvious_loop(parts):
    values = np.random.default_rng(0).random((4, 10))
    edges = [i * 10 // parts for i in range(parts + 1)]
    expected = [values[:, a:b].mean(1) for a, b in pairwise(edges)]
    np.testing.assert_allclose(average_blocks(values, parts, 1), np.stack(expected, 1))


def test_equal_blocks_keep_the_mean():
    values = np.random.default_rng(1).random((6, 5))
    assert average_blocks(values, 3, 0).mean() == pytest.approx(values.mean())


@pytest.mark.parametrize("parts", [0, 5])
def test_blocks_refuse(parts):
    with pytest.raises(ValueError, match=f"4 entries cannot be averaged into {parts} blocks"):
        average_blocks(np.zeros(4), parts, 0)


# ---------------------------------------------------------------- log-mel


@pytest.mark.parametrize("frequency", [300, 1000, 2500])
def test_a_tone_is_loudest_in_the_band_of_its_pitch(frequency):
    import librosa

    found = log_mel(tone(frequency), 8000, MEL)
    assert (found.dtype, found.shape) == (np.uint8, (16, 8))
    centres = librosa.mel_frequencies(18, fmin=0, fmax=4000)[1:-1]
    assert abs(centres[found.mean(1).argmax()] - frequency) < np.diff(centres).max()


def test_the_level_of_the_recording_does_not_matter():
    quiet, loud = (log_mel(tone(700, level=level), 8000, MEL) for level in (0.01, 0.9))
    assert np.abs(quiet.astype(int) - loud).max() <= 1


def test_80_decibel_below_the_maximum_is_0():
    """A click after silence: columns before it hold nothing."""
    sound = np.zeros(8000, np.float32)
    sound[7000] = 1.0
    found = log_mel(sound, 8000, MEL)
    assert (found[:, :6] == 0).all()
    assert found[:, 6:].max() > 50


def test_a_resampled_tone_keeps_its_band():
    first = log_mel(tone(700), 8000, MEL)
    second = log_mel(tone(700, sample_rate=16_000), 16_000, MEL)
    assert first.mean(1).argmax() == second.mean(1).argmax()


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (np.zeros(8000), "the clip is silent"),
        (np.array([0.1, np.nan] * 4000), "the clip holds values that are not finite"),
        (np.ones(700), "700 samples are too few for 8 columns"),
        (np.ones(300), "300 samples are too few"),
    ],
)
def test_clips_that_cannot_be_used(sound, words):
    with pytest.raises(ValueError, match=words):
        log_mel(sound, 8000, MEL)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_sound_files(tmp_path, ending):
    path = tmp_path / f"clip.{ending}"
    soundfile.write(path, np.stack([tone(1000), tone(1000)], 1), 8000)
    expected = log_mel(tone(1000), 8000, MEL)
    found = read_sound(path, MEL)
    assert found.mean(1).argmax() == expected.mean(1).argmax()
    if ending != "ogg":
        assert np.abs(found.astype(int) - expected).mean() < 3


def test_a_clip_is_cut_at_its_seconds(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.concatenate([tone(500), tone(3000)]), 8000, subtype="FLOAT")
    np.testing.assert_array_equal(read_sound(path, MEL), log_mel(tone(500), 8000, MEL))


@pytest.mark.parametrize("ending", ["mp3", "ogg", "wav"])
def test_real_recordings_of_one_loop_agree(real_folder, ending):
    path = real_folder / "audio" / f"house_lo.{ending}"
    if not path.is_file():
        pytest.skip(f"no {path}")
    mel = Mel(seconds=7.0, columns=64)
    found, wav = read_sound(path, mel), read_sound(path.with_suffix(".wav"), mel)
    assert found.shape == (128, 64)
    # The mp3 file begins a little later, so bands are compared, not moments.
    assert np.corrcoef(found.mean(1), wav.mean(1))[0, 1] > 0.95


def test_broken_short_and_silent_files_are_left_out(tmp_path, caplog):
    good, short, silent, broken = (tmp_path / f"{i}.wav" for i in range(4))
    soundfile.write(good, tone(500), 8000)
    soundfile.write(short, tone(500, seconds=0.4), 8000)
    soundfile.write(silent, np.zeros(8000), 8000)
    broken.write_bytes(b"no sound")
    with caplog.at_level(logging.WARNING, logger="ibcore.datasets"):
        pictures, kept = read_files([broken, good, short, silent], MEL)
    assert kept.tolist() == [1]
    np.testing.assert_array_equal(pictures[0], read_sound(good, MEL))
    assert "3.wav: cannot be decoded" in caplog.text
    assert "1.wav: lasts 0.4 of 1 s" in caplog.text
    assert "2.wav: the clip is silent" in caplog.text
    with pytest.raises(ValueError, match=r"none of the 2 files can be read; .*2.wav"):
        read_files([broken, silent], MEL)


def test_pictures_have_low_tones_below(tmp_path):
    path = tmp_path / "clip.png"
    rows = np.repeat(np.arange(32, dtype=np.uint8)[:, None] * 8, 20, axis=1)
    Image.fromarray(rows).convert("RGB").save(path)
    found = read_picture(path, MEL)
    assert found.shape == (16, 8)
    assert (found[0] == 244).all()  # the mean of the two lowest rows, 240 and 248
    assert (np.diff(found[:, 0].astype(int)) < 0).all()
    path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"clip.png: cannot be read as a picture"):
        read_picture(path, MEL)
    with pytest.raises(ValueError, match="none of the 1 files can be read"):
        read_files([path], MEL)


# ---------------------------------------------------------------- split


def test_the_split_is_stratified_complete_and_fixed():
    labels = np.repeat(np.arange(3), [100, 99, 10])
    parts = {part: stratified_split(labels, part) for part in SHARES}
    together = np.concatenate(list(parts.values()))
    np.testing.assert_array_equal(np.sort(together), np.arange(209))
    counts = {part: np.bincount(labels[members]).tolist() for part, members in parts.items()}
    assert counts == {"train": [80, 79, 8], "validation": [10, 10, 1], "test": [10, 10, 1]}
    np.testing.assert_array_equal(parts["test"], stratified_split(list(labels), "test"))
    first = labels[parts["train"][:60]]
    assert np.bincount(first).min() > 0  # not sorted by class
    with pytest.raises(ValueError, match="unknown split 'all'; known are train, validation, test"):
        stratified_split(labels, "all")


# ---------------------------------------------------------------- cache


def test_the_cache_computes_once_and_notices_damage(tmp_path, caplog):
    calls = []

    def make():
        calls.append(1)
        return {"mel": np.arange(6, dtype=np.uint8).reshape(2, 3), "kept": np.array([0, 2])}

    path = cache_path(tmp_path / "deep", MEL, ["a", 1])
    for _ in range(2):
        found = cached(path, make)
        np.testing.assert_array_equal(found["mel"], [[0, 1, 2], [3, 4, 5]])
        assert found["kept"].tolist() == [0, 2]
    assert len(calls) == 1
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    np.testing.assert_array_equal(cached(path, make)["kept"], [0, 2])
    assert len(calls) == 2
    assert "is damaged and made anew" in caplog.text
    cached(path, make)
    assert len(calls) == 2


def test_the_name_of_the_cache_depends_on_parameters_and_content(tmp_path):
    other = Mel(**{**vars(MEL), "bands": 17})
    names = {cache_path(tmp_path, mel, given) for mel in (MEL, other) for given in (["a"], ["b"])}
    assert len(names) == 4
    assert cache_path(tmp_path, MEL, ["a"]) in names


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    path = cache_path(tmp_path, MEL, [])
    monkeypatch.setattr(spectrograms.os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        cached(path, lambda: {"mel": np.zeros(3)})
    assert [p.suffix for p in tmp_path.iterdir() if p.suffix != ".lock"] == []


# ---------------------------------------------------------------- simulated genres


@pytest.mark.parametrize("name", genres.GENRES)
def test_genres_are_sound(name):
    first = genres.render(name, seed=3, seconds=2.0, sample_rate=8000)
    assert (first.dtype, first.shape) == (np.float32, (16_000,))
    assert np.abs(first).max() == 1.0
    np.testing.assert_array_equal(first, genres.render(name, seed=3, seconds=2.0, sample_rate=8000))
    assert not np.array_equal(first, genres.render(name, seed=4, seconds=2.0, sample_rate=8000))
    genre = genres.GENRES[name]
    bar = len(genre.steps)
    assert {len(part) for part in (genre.kick, genre.snare, genre.hat) if part} <= {bar}


def test_genres_are_told_apart_by_their_spectrograms():
    """The nearest class mean of 24 clips names 24 others far above chance, yet not all."""
    labels = np.repeat(np.arange(8), 3)

    def clips(offset):
        names = list(genres.GENRES)
        made = [
            genres.render(names[c], seed=offset + i, seconds=2.0, sample_rate=8000)
            for i, c in enumerate(labels)
        ]
        return np.stack([log_mel(clip, 8000, MEL).ravel().astype(float) for clip in made])

    means = clips(0).reshape(8, 3, -1).mean(1)
    guess = ((clips(100)[:, None] - means) ** 2).sum(2).argmin(1)
    assert np.mean(guess == labels) > 0.4


def test_an_unknown_genre_is_refused():
    with pytest.raises(ValueError, match="unknown genre 'polka'; known are ambient, ballad"):
        genres.render("polka", seed=0, seconds=1, sample_rate=8000)


# ---------------------------------------------------------------- GTZAN


def save(path, **changes):
    arrays = {
        "mel": np.zeros((4, 128, 128), np.uint8),
        "label": np.array([0, 1, 0, 1], np.uint8),
        "genre": np.array(["blues", "rock"]),
    }
    np.savez(path, **{**arrays, **changes})


def test_gtzan(tmp_path):
    save(tmp_path / gtzan.FILE)
    mel, labels, classes = gtzan.read(tmp_path / gtzan.FILE)
    assert mel.shape == (4, 128, 128)
    assert (labels.dtype, labels.tolist()) == (np.int64, [0, 1, 0, 1])
    assert classes == ("blues", "rock")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mel": np.zeros((4, 128, 128))}, "mel is float64"),
        ({"mel": np.zeros((3, 128, 128), np.uint8)}, r"mel is uint8 \(3, 128, 128\) for labels"),
        ({"label": np.array([0, 1, 2, 1])}, "labels do not fit the 2 genres"),
        (
            {"mel": np.zeros((0, 128, 128), np.uint8), "label": np.array([], int)},
            "labels do not fit",
        ),
    ],
)
def test_gtzan_refuses(tmp_path, changes, words):
    save(tmp_path / gtzan.FILE, **changes)
    with pytest.raises(ValueError, match=words):
        gtzan.read(tmp_path / gtzan.FILE)


def test_gtzan_refuses_other_files(tmp_path):
    path = tmp_path / gtzan.FILE
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="not the spectrograms of GTZAN"):
        gtzan.read(path)
    np.savez(path, mel=np.zeros(3))
    with pytest.raises(ValueError, match="not the spectrograms of GTZAN"):
        gtzan.read(path)
