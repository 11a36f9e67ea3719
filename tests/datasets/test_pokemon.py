"""Pokémon sightings: every fault counted, both data sets apart, the real files where at hand."""

import math

import numpy as np
import pandas as pd
import pytest

from ibcore.datasets import DataUnavailable, load, names, pokemon

HEADER = "pokemonId,latitude,longitude,appearedLocalTime,temperature,pressure"
GOOD = [
    "50,10.5,20,2016-09-08T03:00:00,15.5,1000",
    "86,-5,-150,2016-09-08T12:00:00,20,1010.25",
    "128,0,0,2016-09-08T18:30:00,-3,990",
]


@pytest.fixture
def write(tmp_path):
    """Write a table below the folder that is given as root; returns its path."""

    def write(*rows, header=HEADER, file="300k.csv", folder="pokemon"):
        path = tmp_path / "own" / folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def get(tmp_path):
    def get(name="pokemon", **options):
        return load(name, "all", root=tmp_path / "own", **options)

    return get


def test_both_are_registered():
    assert {"pokemon", "pokemon_time"} <= set(names())


def test_features_and_labels(write, get):
    write(*GOOD)
    data = get()
    assert data.X.tolist() == [[20, 10.5, 15.5, 1000], [-150, -5, 20, 1010.25], [0, 0, -3, 990]]
    assert data.Y.tolist() == [0, 1, 2]
    assert data.classes == ("Diglett", "Seel", "Tauros")
    assert data.source == "local"
    assert data.label == "Pokémon sightings with weather"
    assert data.note.startswith("Pokémon sightings with weather: 3 usable rows in 300k.csv; left")


def test_local_time_takes_the_place_of_the_weather(write, get):
    write(*GOOD)
    data = get("pokemon_time")
    assert data.X[:, :2].tolist() == [[20, 10.5], [-150, -5], [0, 0]]
    for row, hour in zip(data.X, (3 + 20 / 15, 12 - 10, 18.5), strict=True):
        expected = math.sin(math.pi * hour / 12), math.cos(math.pi * hour / 12)
        assert row[2:].tolist() == pytest.approx(expected, abs=1e-6)
    assert data.label == "Pokémon sightings with local time"


def test_the_two_are_never_mixed(write, get):
    """Rows without weather are no rows of ``pokemon``; weather does not enter ``pokemon_time``."""
    write(*GOOD, "50,1,2,2016-09-08T03:00:00,,")
    assert len(get()) == 3
    assert len(get("pokemon_time")) == 4
    write(*GOOD, "50,1,2,2016-09-08T03:00:00,99,100")
    other = get("pokemon_time")
    write(*GOOD, "50,1,2,2016-09-08T03:00:00,,")
    assert get("pokemon_time").fingerprint == other.fingerprint


FAULTS = {
    "unreadable species": ["?,1,1,2016-09-08T03:00:00,1,1000", ",1,1,2016-09-08T03:00:00,1,1000"],
    "missing values": [
        "50,1,1,2016-09-08T03:00:00, ,1000",
        "50,,1,2016-09-08T03:00:00,?,1000",
    ],
    "unreadable values": [
        "50,1,1,2016-09-08T03:00:00,?,1000",
        "50,1,1,2016-09-08T03:00:00,1,True",
        "50,1,nan,2016-09-08T03:00:00,1,1000",
    ],
    "impossible values": [
        "50,91,1,2016-09-08T03:00:00,1,1000",
        "50,1,-181,2016-09-08T03:00:00,1,1000",
        "50,1,1,2016-09-08T03:00:00,451,1000",
        "50,1,1,2016-09-08T03:00:00,1,29.9",
        "50,1,1,2016-09-08T03:00:00,1,inf",
    ],
    "repeats": [GOOD[0], " 50, 10.5 ,20,2016-09-08T03:00:00,15.5,1000"],
}


@pytest.mark.parametrize("words", FAULTS)
def test_every_fault_is_counted_and_told(write, get, words):
    path = write(*GOOD, *FAULTS[words])
    table, faults = pokemon.read_sightings(path, "pokemon")
    expected = dict.fromkeys([*FAULTS, "stamps of another clock"], 0)
    assert faults == {**expected, words: len(FAULTS[words])}
    assert table["species"].tolist() == [50, 86, 128]
    assert f"{len(FAULTS[words])} with {words}" in get().note
    write(*GOOD)
    assert np.array_equal(get().X, get().X)


def test_all_faults_at_once_and_other_species(write):
    rows = [row for rows in FAULTS.values() for row in rows]
    path = write("16,1,1,2016-09-08T03:00:00,,", *GOOD, *rows, "25,x,y,z,?,?")
    table, faults = pokemon.read_sightings(path, "pokemon")
    assert len(table) == 3
    assert faults == {words: len(FAULTS.get(words, [])) for words in faults}


def test_faults_of_time_stamps(write):
    rows = ["50,1,1,,1,1000", "50,1,1,yesterday,1,1000", "50,1,1,2016-09-08T06:30:00.000Z,?,"]
    table, faults = pokemon.read_sightings(write(*GOOD, *rows), "pokemon_time")
    assert (faults["missing values"], faults["unreadable values"]) == (1, 1)
    assert table["hour"].tolist() == [3, 12, 18.5, 6.5]
    weather, _ = pokemon.read_sightings(write(*GOOD, rows[1]), "pokemon")
    assert len(weather) == 4


def test_stamps_of_the_other_crawl_are_left_out(write):
    rows = [f"kaggle,{row}" for row in GOOD] + [f"api_extended,{GOOD[0].replace('50,', '86,', 1)}"]
    path = write(*rows, header=f"source,{HEADER}")
    assert pokemon.read_sightings(path, "pokemon_time")[1]["stamps of another clock"] == 1
    assert pokemon.read_sightings(path, "pokemon")[1]["stamps of another clock"] == 0


def test_same_place_at_another_time_or_another_species_is_no_repeat(write):
    rows = [GOOD[0].replace("03:00:00", "03:00:01"), GOOD[0].replace("50,", "86,", 1)]
    assert len(pokemon.read_sightings(write(*GOOD, *rows), "pokemon")[0]) == 5


def test_columns_of_the_whole_kaggle_table_do_not_disturb(write, get):
    """Columns that mix numbers and text, a label under its other name, a byte-order mark."""
    write(*(f"{row},?,True" for row in GOOD), header=HEADER + ",pokestopDistanceKm,cooc_1")
    first = get().fingerprint
    write(*GOOD, header="\ufeff" + HEADER.replace("pokemonId", "class"))
    assert get().fingerprint == first


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ([], HEADER, "none of 0 rows of the three species can be used"),
        (["50,1,1,2016-09-08T03:00:00,,"], HEADER, "none of 1 rows of the three species"),
        (GOOD, HEADER.replace("pressure", "wind"), "no column pressure; it has pokemonId, lat"),
        (GOOD, HEADER.replace("pokemonId", "id"), "no column pokemonId; it has id, latitude"),
        (['50,"1'], HEADER, "not a readable table"),
    ],
)
def test_unusable_tables(write, get, rows, header, words):
    path = write(*rows, header=header)
    with pytest.raises(ValueError, match=f"{path.name}: {words}"):
        get()


def test_an_unreadable_file(tmp_path):
    with pytest.raises(ValueError, match="not a readable table"):
        pokemon.read_sightings(tmp_path / "absent.csv", "pokemon")


def test_the_whole_table_comes_first_and_is_read_alone(write, get):
    write(*GOOD[:2], file="pokemon_diglett_seel_tauros.csv")
    assert len(get()) == 2
    assert get().label == "Pokémon sightings with weather (table of 2 of about 2,100)"
    write(*GOOD)
    assert len(get()) == 3
    assert get().label == "Pokémon sightings with weather"
    assert "300k.csv" in get().note


def test_the_dump_has_no_weather(write, get):
    header = HEADER.removesuffix(",temperature,pressure")
    rows = [row.rsplit(",", 2)[0] for row in GOOD]
    write(*rows, header=header, file="pokemongoers_dump50k.csv", folder="")
    assert len(get("pokemon_time")) == 3
    with pytest.raises(DataUnavailable):
        get("pokemon")


def test_subsets(write, get, caplog):
    write(*GOOD)
    assert len(get(n=2)) == 2
    assert caplog.records == []
    assert get(n=7).fingerprint == get().fingerprint
    assert "only 3 of the 7 sightings wanted are there" in caplog.text


# ---------------------------------------------------------------- without the file


def test_missing_data_tell_what_to_fetch(sealed, tmp_path):
    with pytest.raises(DataUnavailable) as caught:
        load("pokemon", "all")
    for words in ("log in to Kaggle", pokemon.PAGE, str(sealed / "pokemon"), "IBCORE_DATA"):
        assert words in str(caught.value)


@pytest.mark.parametrize("name", ["pokemon", "pokemon_time"])
def test_the_stand_in_says_so(name, caplog):
    silent = load(name, "all", allow_standin="only")
    assert caplog.records == []
    data = load(name, "all", allow_standin=True)
    assert "simulated sightings stand in" in caplog.text
    assert data.fingerprint == silent.fingerprint
    assert data.label == f"stand-in (simulated sightings) for {pokemon.TITLES[name]}"
    assert data.note.startswith("stand-in: sightings simulated")
    assert data.X.shape == (pokemon.POPULATION, 4)
    assert set(data.Y) == {0, 1, 2}


def test_hermetic_looks_at_no_file(write, get):
    write("nonsense")
    assert get(allow_standin="only").is_standin


def test_the_simulation_is_seeded_and_plausible():
    one, same, other = (pokemon.simulated(seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)
    for column, (low, high) in pokemon.RANGES.items():
        assert one[column].between(low, high).all()
    assert one["hour"].between(0, 24).all()
    assert one.drop(columns="species").equals(one.drop(columns="species").round(6))


def test_weather_follows_place_and_time():
    table = pokemon.simulated()
    local = (table["hour"] + table["longitude"] / 15) % 24
    warm = table[(local - 15).abs() < 3]["temperature"].mean()
    cold = table[(local < 6) | (local > 24)]["temperature"].mean()
    assert warm > cold + 3
    city = table["longitude"].round(-1)
    within = table.groupby(city)["pressure"].std().mean()
    assert within < 0.6 * table["pressure"].std()


def test_species_cluster():
    """Within a city a sighting is nearer to the centre of its own species than to the others'."""
    table = pokemon.simulated()
    table["city"] = np.linalg.norm(
        table[["longitude", "latitude"]].to_numpy()[:, None] - pokemon._CITIES[:, :2], axis=2
    ).argmin(1)
    place = ["longitude", "latitude"]
    own = (table[place] - table.groupby(["city", "species"])[place].transform("mean")).to_numpy()
    whole = (table[place] - table.groupby("city")[place].transform("mean")).to_numpy()
    assert np.linalg.norm(own, axis=1).mean() < 0.75 * np.linalg.norm(whole, axis=1).mean()


def test_clock_features_are_periodic_and_on_the_circle():
    hours = np.linspace(0, 24, 49)
    features = pokemon.clock_features(hours, 0 * hours)
    np.testing.assert_allclose((features**2).sum(1), 1)
    np.testing.assert_allclose(features[0], features[-1], atol=1e-12)
    np.testing.assert_allclose(
        pokemon.clock_features(hours, 0 * hours + 30), pokemon.clock_features(hours + 2, 0 * hours)
    )


# ---------------------------------------------------------------- the real files


def test_the_real_subset(real_folder):
    weather, time = (load(name, "all", root=real_folder) for name in pokemon.TITLES)
    assert np.bincount(weather.Y).tolist() == [14, 15, 25]
    assert "386 with missing values" in weather.note
    assert np.bincount(time.Y).tolist() == [143, 92, 179]
    assert "26 with stamps of another clock" in time.note


def test_the_real_parts_alone(real_folder):
    folder = real_folder / "pokemon"
    dump, faults = pokemon.read_sightings(folder / "pokemongoers_dump50k.csv", "pokemon_time")
    assert len(dump) == 386
    assert set(faults.values()) == {0}
    day, _ = pokemon.read_sightings(folder / "kaggle_predictemall_20160902.csv", "pokemon")
    assert len(day) == 28


def test_stamps_run_on_one_clock(real_folder):
    """The crawl pauses at the same stamps in the west and in the east, and hours are shifted."""
    table = pd.read_csv(real_folder / "pokemon" / "pokemongoers_dump50k.csv")
    stamps = pd.to_datetime(table["appearedLocalTime"])
    assert ((table["appearedHour"] - stamps.dt.hour) % 24 == 2).all()
    ends = []
    for west, east in ((-180, -60), (-60, 20), (60, 180)):
        there = stamps[table["longitude"].between(west, east)]
        morning = there[there < "2016-09-07T07:00"]
        assert there.between("2016-09-07T07:00", "2016-09-07T17:00").mean() < 0.002
        ends.append(morning.max())
    assert max(ends) - min(ends) < pd.Timedelta("5min")
