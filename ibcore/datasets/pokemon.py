"""Sightings of Diglett, Seel and Tauros in Pokémon Go, the data of Dong & Hisham.

The document names a Kaggle page and describes another: the sightings with their weather are the
table "Predict'em All" (semioniy/predictemall, ``300k.csv``). Two data sets are read from it and
never mixed: ``pokemon`` with the document's four features, and ``pokemon_time`` for sightings
whose weather is not known, with the local time of day in the place of temperature and pressure.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from ibcore.datasets.registry import DataUnavailable, register

LOG = logging.getLogger("ibcore.datasets")
SPECIES = {50: "Diglett", 86: "Seel", 128: "Tauros"}
PAGE = "https://www.kaggle.com/datasets/semioniy/predictemall"
TITLES = {
    "pokemon": "Pokémon sightings with weather",
    "pokemon_time": "Pokémon sightings with local time",
}
WHOLE = "300k.csv"
#: In the order of preference; the first that is there is read, and no other.
FILES = {
    "pokemon": (
        WHOLE,
        "pokemon_diglett_seel_tauros.csv",
        "kaggle_predictemall_20160902.csv",
    ),
    "pokemon_time": (
        WHOLE,
        "pokemon_diglett_seel_tauros.csv",
        "pokemongoers_dump50k.csv",
    ),
}
NUMBERS = {
    "pokemon": ("longitude", "latitude", "temperature", "pressure"),
    "pokemon_time": ("longitude", "latitude"),
}
FEATURES = {
    "pokemon": NUMBERS["pokemon"],
    "pokemon_time": ("longitude", "latitude", "sine of local time", "cosine of local time"),
}
#: What a place, degrees Celsius and hectopascals at sea level can be.
RANGES = {
    "longitude": (-180, 180),
    "latitude": (-90, 90),
    "temperature": (-60, 60),
    "pressure": (850, 1100),
}
STAMP = "appearedLocalTime"
OTHER_CLOCK = "api_extended"
STANDIN = "simulated sightings"
POPULATION = 440


def read_sightings(path, name):
    """Read the sightings of the three species from a table, and count what had to be left out.

    Every field is read as text, because some columns of ``300k.csv`` mix numbers and text. A row
    counts once, for the first fault in the order below.

    Parameters
    ----------
    path : path
        CSV file with a header: ``pokemonId`` (or ``class``), longitude and latitude in degrees,
        `STAMP`, and for ``pokemon`` temperature in degrees Celsius and pressure in hPa.
    name : {"pokemon", "pokemon_time"}
        Which fields a sighting needs.

    Returns
    -------
    table : DataFrame
        ``species`` (the number), the `NUMBERS` of `name` and, for ``pokemon_time``, ``hour``:
        hours since midnight on the table's one clock.
    faults : dict
        Words for a fault to the number of rows. Rows with an unreadable species come from the
        whole table, the others are rows of the three species.

    Raises
    ------
    ValueError
        Not a table, a column is missing, or nothing is left.
    """
    import pandas as pd

    try:
        text = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{path}: not a readable table ({error})") from error
    label = next((column for column in ("pokemonId", "class") if column in text), "pokemonId")
    needed = [*NUMBERS[name], STAMP]
    missing = [column for column in (label, *needed) if column not in text]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)}; it has {', '.join(text)}")

    species = pd.to_numeric(text[label].str.strip(), errors="coerce")
    faults = {"unreadable species": int(species.isna().sum())}
    text = text[species.isin(SPECIES)]
    fields = text[needed].apply(lambda column: column.str.strip())
    table = fields[list(NUMBERS[name])].apply(pd.to_numeric, errors="coerce")
    table.insert(0, "species", species[text.index].astype(int))
    required = list(NUMBERS[name])
    if name == "pokemon_time":
        stamp = pd.to_datetime(fields[STAMP], format="ISO8601", utc=True, errors="coerce")
        table["hour"] = (stamp - stamp.dt.floor("D")).dt.total_seconds() / 3600
        required.append(STAMP)
    wrong = [~table[column].between(*RANGES[column]) for column in NUMBERS[name]]
    checks = {
        "missing values": (fields[required] == "").any(axis=1),
        "unreadable values": table.isna().any(axis=1),
        "impossible values": np.logical_or.reduce(wrong),
        "stamps of another clock": (name == "pokemon_time")
        & (text.get("source", pd.Series("", index=text.index)) == OTHER_CLOCK),
        "repeats": fields.assign(species=table["species"]).duplicated(),
    }
    good = pd.Series(True, index=text.index)
    for words, found in checks.items():
        faults[words] = int((good & found).sum())
        good &= ~found
    if not good.any():
        raise ValueError(f"{path}: none of {len(text)} rows of the three species can be used")
    return table[good].reset_index(drop=True), faults


def clock_features(hour, longitude):
    r"""Return sine and cosine of the mean solar time of day.

    .. math:: t = h + \lambda / 15, \qquad (\sin 2\pi t/24,\ \cos 2\pi t/24)

    The stamps of the table are called local but run on one clock, taken as UTC: the crawl's pause
    lies between the same stamps at every longitude, and the table's own hour is two hours later in
    every row. So the local time is computed from the longitude.

    Parameters
    ----------
    hour : array (n,)
        Hours since midnight UTC.
    longitude : array (n,)
        Degrees, east positive.

    Returns
    -------
    float64 array (n, 2)

    Examples
    --------
    Six in the morning in Greenwich is noon at 90 degrees east:

    >>> clock_features([6, 6], [0, 90]).round(6).tolist()
    [[1.0, 0.0], [0.0, -1.0]]
    """
    angle = 2 * np.pi * (np.asarray(hour) + np.asarray(longitude) / 15) / 24
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1)


def _columns(table, name):
    """Return the float64 array (n, 4) of the features of `name`."""
    X = table[list(NUMBERS[name])].to_numpy(dtype=np.float64)
    if name == "pokemon":
        return X
    return np.hstack([X, clock_features(table["hour"], table["longitude"])])


#: Longitude, latitude, and mean sea-level pressure of the simulated cities.
_CITIES = np.array(
    [
        (-122.4, 37.8, 1014),
        (-118.3, 34.0, 1011),
        (-87.7, 41.9, 1021),
        (-74.0, 40.7, 1019),
        (-123.1, 49.2, 1015),
        (-0.1, 51.5, 1006),
        (14.4, 50.1, 1017),
        (139.7, 35.7, 1012),
    ]
)


def simulated(seed=0):
    """Return simulated sightings: spatial clusters per species, weather by place and time.

    Each of eight cities has its own mixture of species and one nest per species, 0.3 degrees from
    its centre; sightings scatter by 0.1 degrees about a nest. Each species has its hour. It is
    cooler towards the poles and at night, and each city has its pressure. Values are rounded to 6
    decimals, as in the real table.

    Parameters
    ----------
    seed : int

    Returns
    -------
    DataFrame
        `POPULATION` rows: species, longitude, latitude, temperature, pressure, hour (UTC).
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    mixtures = rng.dirichlet(np.ones(len(SPECIES)), len(_CITIES))
    nests = rng.normal(0, 0.3, (len(_CITIES), len(SPECIES), 2))
    city = rng.integers(len(_CITIES), size=POPULATION)
    kind = (rng.random(POPULATION)[:, None] > mixtures[city].cumsum(axis=1)[:, :-1]).sum(axis=1)
    place = _CITIES[city, :2] + nests[city, kind] + rng.normal(0, 0.1, (POPULATION, 2))
    local = np.array([2, 9, 18])[kind] + rng.normal(0, 4, POPULATION)
    warmth = 4 * np.cos(2 * np.pi * (local - 15) / 24) + rng.normal(0, 2, POPULATION)
    return pd.DataFrame(
        {
            "species": np.array(list(SPECIES))[kind],
            "longitude": place[:, 0],
            "latitude": place[:, 1],
            "temperature": 40 - 0.5 * place[:, 1] + warmth,
            "pressure": _CITIES[city, 2] + rng.normal(0, 1.5, POPULATION),
            "hour": (local - place[:, 0] / 15) % 24,
        }
    ).round(6)


def _load(request):
    for place, _ in [] if request.hermetic else request.places():
        for folder in (place / "pokemon", place):
            for file in FILES[request.name]:
                if (folder / file).is_file():
                    table, faults = read_sightings(folder / file, request.name)
                    if file != WHOLE:
                        part = f"table of {len(table)} of about 2,100"
                        request = replace(request, title=f"{request.title} ({part})")
                    left_out = ", ".join(f"{count} with {words}" for words, count in faults.items())
                    return _dataset(
                        request,
                        table,
                        source="local",
                        note=f"{request.title}: {len(table)} usable rows in {file}; left out: "
                        f"{left_out}.",
                        folder=folder,
                    )
    if not request.allow_standin:
        looked = ", ".join(str(place) for place, _ in request.places())
        raise DataUnavailable(
            f"{request.title} are not available.\nLooked in {looked} for "
            f"{', '.join(FILES[request.name])}.\nTo go on, log in to Kaggle, fetch 300k.csv from "
            f"{PAGE} and put it into {request.raw / 'pokemon'} (or set IBCORE_DATA to a folder "
            "with pokemon/ in it), or allow the stand-in where the profile does."
        )
    if not request.hermetic:
        LOG.warning("%s are not available: %s stand in", request.title, STANDIN)
    return _dataset(
        request,
        simulated(),
        source="stand-in",
        standin=STANDIN,
        note="stand-in: sightings simulated in clusters about eight cities, used in place of "
        f"{request.title}.",
    )


def _dataset(request, table, **origin):
    """Return the wanted sightings; all of them where more are wanted than there are."""
    if request.n is not None and request.n > len(table):
        LOG.warning("only %d of the %d sightings wanted are there", len(table), request.n)
        keep = np.arange(len(table))
    else:
        keep = request.pick(len(table))
    table = table.iloc[keep]
    return request.dataset(
        _columns(table, request.name).astype(np.float32),
        np.searchsorted(list(SPECIES), table["species"]).astype(np.int64),
        classes=tuple(SPECIES.values()),
        **origin,
    )


for _name, _title in TITLES.items():
    register(_name, title=_title, splits=("all",), by_hand=True)(_load)
