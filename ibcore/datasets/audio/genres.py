"""Eight simulated genres, rendered as sound: they differ in tempo, harmony, timbre, percussion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAJOR, MINOR, SEVENTH, FIFTH = (0, 4, 7), (0, 3, 7), (0, 4, 7, 10), (0, 7, 12)


@dataclass(frozen=True)
class Genre:
    """What the clips of one genre have in common.

    Attributes
    ----------
    tempo : (float, float)
        Slowest and fastest, in beats per minute.
    chords : tuple of (int, tuple of int)
        Root above the key and notes above the root, in semitones; one chord a bar, in turn.
    partials : tuple of float
        Amplitudes of the harmonics 1, 2, ... of every note.
    decay : float
        How fast a note fades, per second.
    octave : float
        Register of the notes above 55 Hz, in octaves.
    steps : str
        When in a bar the chord is struck, and the length of the bar: one sign per eighth note,
        "x" is a stroke.
    kick, snare, hat : str
        The same for the drums; empty for none.
    """

    tempo: tuple[float, float]
    chords: tuple[tuple[int, tuple[int, ...]], ...]
    partials: tuple[float, ...]
    decay: float
    octave: float
    steps: str
    kick: str = ""
    snare: str = ""
    hat: str = ""


SOFT, REED, BRIGHT = (1.0, 0.3, 0.1), (1.0, 0.0, 0.5, 0.0, 0.3, 0.0, 0.2), (1.0, 0.8, 0.7, 0.6, 0.5)
ORGAN, BELL = (1.0, 0.7, 0.0, 0.5, 0.0, 0.0, 0.0, 0.3), (1.0, 0.0, 0.6, 0.0, 0.0, 0.5)
GENRES = {
    "ambient": Genre((50, 70), ((0, FIFTH), (5, FIFTH)), ORGAN, 0.3, 1.0, "x......."),
    "ballad": Genre(
        (60, 80),
        ((0, MAJOR), (9, MINOR), (5, MAJOR), (7, MAJOR)),
        SOFT,
        1.5,
        2.0,
        "x.x.x.x.",
        hat="..x...x.",
    ),
    "blues": Genre(
        (80, 105),
        ((0, SEVENTH), (5, SEVENTH), (0, SEVENTH), (7, SEVENTH)),
        BRIGHT,
        3.0,
        1.0,
        "x..x..x..x..",
        kick="x.....x.....",
        snare="...x.....x..",
    ),
    "bells": Genre((90, 120), ((0, MAJOR), (7, MAJOR)), BELL, 2.5, 3.5, "x.xx.x.x"),
    "jungle": Genre(
        (165, 180),
        ((0, MINOR), (8, MAJOR)),
        SOFT,
        2.0,
        0.5,
        "x.......",
        kick="x....x..",
        snare="..x..x.x",
        hat="xxxxxxxx",
    ),
    "march": Genre(
        (108, 120),
        ((0, MAJOR), (0, MAJOR), (7, MAJOR), (0, MAJOR)),
        BRIGHT,
        8.0,
        2.5,
        "x.x.x.x.",
        kick="x...x...",
        snare="..xx..xx",
    ),
    "techno": Genre(
        (125, 140),
        ((0, MINOR), (0, MINOR), (3, MAJOR), (10, MAJOR)),
        REED,
        10.0,
        1.0,
        ".x.x.x.x",
        kick="x.x.x.x.",
        hat=".x.x.x.x",
    ),
    "waltz": Genre(
        (150, 180),
        ((0, MAJOR), (7, SEVENTH), (7, SEVENTH), (0, MAJOR)),
        REED,
        4.0,
        2.0,
        "x.x.x.",
        kick="x.....",
    ),
}


def render(name, *, seed, seconds, sample_rate):
    """One clip of a simulated genre.

    Tempo, key, register, brightness, loudness of the drums and of a background noise are drawn
    for every clip.

    Parameters
    ----------
    name : str
        A key of `GENRES`.
    seed : int or sequence of int
    seconds : float
        Length.
    sample_rate : int
        Samples per second.

    Returns
    -------
    float32 array (round(seconds * sample_rate),)
        Largest absolute value 1.

    Raises
    ------
    ValueError
        Unknown genre.

    Examples
    --------
    >>> sound = render("waltz", seed=1, seconds=0.5, sample_rate=8000)
    >>> sound.shape, float(abs(sound).max())
    ((4000,), 1.0)
    """
    if name not in GENRES:
        raise ValueError(f"unknown genre {name!r}; known are {', '.join(GENRES)}")
    genre, rng = GENRES[name], np.random.default_rng(seed)
    n = round(seconds * sample_rate)
    step = 30 / rng.uniform(*genre.tempo)
    key = 55 * 2 ** (genre.octave + rng.integers(12) / 12 + rng.normal(0, 0.3))
    partials = np.array(genre.partials) * rng.uniform(0.5, 1.0) ** np.arange(len(genre.partials))
    drums, noise = rng.uniform(0.3, 1.2), 10 ** rng.uniform(-2.5, -1.0)
    strokes = {
        "steps": [
            _chord(key * 2 ** (root / 12), notes, partials, genre.decay, sample_rate)
            for root, notes in genre.chords
        ],
        "kick": [drums * _kick(sample_rate)],
        "snare": [0.5 * drums * _burst(rng, 18, sample_rate)],
        "hat": [0.5 * drums * np.diff(_burst(rng, 60, sample_rate))],
    }
    sound = noise * rng.standard_normal(n)
    bar = len(genre.steps)
    for part, sounds in strokes.items():
        pattern = getattr(genre, part)
        for number in range(int(seconds / step) + 1) if pattern else ():
            if pattern[number % bar] == "x":
                _add(sound, sounds[number // bar % len(sounds)], round(number * step * sample_rate))
    return (sound / np.abs(sound).max()).astype(np.float32)


def _chord(frequency, notes, partials, decay, sample_rate):
    """Two seconds of a struck chord; harmonics that the sample rate cannot hold are left out."""
    time = np.arange(2 * sample_rate) / sample_rate
    sound = np.zeros_like(time)
    for note in notes:
        for harmonic, amplitude in enumerate(partials, start=1):
            pitch = harmonic * frequency * 2 ** (note / 12)
            if amplitude and pitch < sample_rate / 2:
                sound += amplitude * np.sin(2 * np.pi * pitch * time)
    return sound * np.exp(-decay * time) * np.minimum(1, time / 0.01) / len(notes)


def _kick(sample_rate):
    time = np.arange(sample_rate // 5) / sample_rate
    return 2 * np.sin(2 * np.pi * 55 * time + 6 * (1 - np.exp(-30 * time))) * np.exp(-15 * time)


def _burst(rng, decay, sample_rate):
    time = np.arange(sample_rate // 4) / sample_rate
    return rng.standard_normal(len(time)) * np.exp(-decay * time)


def _add(sound, stroke, start):
    stop = min(len(sound), start + len(stroke))
    sound[start:stop] += stroke[: max(stop - start, 0)]
