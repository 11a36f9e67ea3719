"""The 12-bit task: stored counts, symmetry, and the published file where it is at hand."""

import itertools
import math

import numpy as np
import pytest
from scipy.io import savemat

from ibcore.datasets import load, szt

X = szt.patterns()
A = szt.amplitudes(X)
Y = (A > szt.THRESHOLD).astype(int)


def symmetries():
    """Return all isometries of the icosahedron as permutations of its vertices.

    A linear map is fixed by the images of three independent vertices; it is a symmetry when it
    preserves their scalar products and carries the set of vertices to itself.
    """
    V = szt.icosahedron_vertices()
    gram = V @ V.T
    base = (0, 1, 2)
    found = []
    for images in itertools.permutations(range(12), 3):
        if np.allclose(gram[np.ix_(images, images)], gram[np.ix_(base, base)]):
            linear = np.linalg.solve(V[list(base)], V[list(images)])
            match = np.isclose(V @ linear @ V.T, 1)
            if (match.sum(axis=1) == 1).all():
                found.append(match.argmax(axis=1))
    return found


def test_vertices_form_an_icosahedron():
    V = szt.icosahedron_vertices()
    gram = V @ V.T
    root = 1 / math.sqrt(5)
    for row in np.sort(gram, axis=1):
        np.testing.assert_allclose(row, [-1] + [-root] * 5 + [root] * 5 + [1], atol=1e-12)


def test_counts():
    assert int(Y.sum()) == 2118
    p = 2118 / 4096
    entropy = -(p * math.log2(p) + (1 - p) * math.log2(1 - p))
    assert round(entropy, 5) == 0.99916
    weight = X.sum(axis=1)
    ones = [int(Y[weight == k].sum()) for k in range(13)]
    assert ones == [0] * 5 + [60, 532, 732] + [math.comb(12, k) for k in range(8, 13)]


def test_the_interval_of_thresholds():
    assert A[Y == 0].max() == pytest.approx(7.562777, abs=1e-6)
    assert A[Y == 1].min() == pytest.approx(7.701302, abs=1e-6)
    for threshold in (7.562778, 7.6, 7.701301):
        np.testing.assert_array_equal(np.greater(A, threshold).astype(int), Y)


def test_labels_are_invariant_under_all_120_symmetries():
    group = symmetries()
    assert len({tuple(p) for p in group}) == 120
    for permutation in group:
        np.testing.assert_array_equal(szt.amplitudes(X[:, permutation]) > szt.THRESHOLD, Y == 1)


def test_another_permutation_is_told_apart():
    swapped = X[:, [1, 0, *range(2, 12)]]
    assert (szt.amplitudes(swapped) > szt.THRESHOLD).astype(int).tolist() != Y.tolist()


def test_rows_are_binary_counting():
    assert (X @ 2 ** np.arange(12)[::-1]).tolist() == list(range(4096))
    assert X[1].tolist() == [0] * 11 + [1]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((3, 11)), r"X must be \(n, 12\), got \(3, 11\)"),
        (np.zeros(12), r"got \(12,\)"),
        (np.full((1, 12), -1), "zeros and ones only, got -1"),
        (np.full((1, 12), np.nan), "zeros and ones only, got nan"),
    ],
)
def test_amplitudes_refuse(bad, words):
    with pytest.raises(ValueError, match=words):
        szt.amplitudes(bad)


@pytest.fixture
def mat(tmp_path):
    """A function that writes var_u.mat into a folder of its own and returns that folder."""

    def write(**changes):
        folder = tmp_path / "mine"
        (folder / "szt").mkdir(parents=True)
        content = {"F": X.astype(np.uint8), "y": Y.astype(np.uint8)[None], **changes}
        content = {key: value for key, value in content.items() if value is not None}
        savemat(folder / "szt" / "var_u.mat", content)
        return folder

    return write


def test_load_without_a_file():
    data = load("szt", "all")
    assert (data.source, data.folder, data.is_standin) == ("official", None, False)
    assert data.X.shape == (4096, 12)
    assert data.X.dtype == np.float32
    assert data.note.endswith("identical to the published file var_u.mat.")
    assert data.label == "12-bit task"
    assert data.classes == ("0", "1")


def test_the_file_gives_the_same_fingerprint(mat, monkeypatch):
    folder = mat()
    from_file, generated = load("szt", "all", root=folder), load("szt", "all")
    assert (from_file.source, from_file.folder) == ("local", folder / "szt")
    assert from_file.fingerprint == generated.fingerprint
    monkeypatch.setenv("IBCORE_DATA", str(folder / "szt"))
    assert load("szt", "all").source == "local"


def test_hermetic_does_not_look_at_the_file(mat):
    folder = mat(y=None)
    assert load("szt", "all", root=folder, allow_standin="only").source == "official"


def test_a_file_that_disagrees(mat):
    folder = mat(y=1 - Y[None])
    with pytest.raises(ValueError, match=r"var_u.mat: 4096 of 4096 labels break the rule"):
        load("szt", "all", root=folder)


def test_a_file_in_another_order(mat):
    folder = mat(F=X[::-1].astype(np.uint8))
    with pytest.raises(ValueError, match=r"var_u.mat: the rows of F are not plain binary"):
        load("szt", "all", root=folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"F": None}, r"no variable 'F' \(there are \['y'\]\)"),
        ({"y": None}, "no variable 'y'"),
        ({"F": X[:, :11]}, r"F must be \(4096, 12\), got \(4096, 11\)"),
        ({"y": Y[:9]}, r"y must be \(1, 4096\) or \(4096, 1\), got \(1, 9\)"),
        ({"y": 2 * Y}, "y must hold zeros and ones only"),
        ({"F": X * 1j}, "F must hold zeros and ones only"),
        ({"F": "text"}, "F must be"),
    ],
)
def test_odd_files_are_refused(mat, changes, words):
    with pytest.raises(ValueError, match=f"var_u.mat: {words}"):
        szt.read_var_u(mat(**changes) / "szt" / "var_u.mat")


def test_any_truncation_is_refused(mat):
    path = mat() / "szt" / "var_u.mat"
    content = path.read_bytes()
    for length in (0, 3, 100, 127, 128, 130, 140, 200, 5000, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"var_u.mat: (not a whole MATLAB 5|no variable)"):
            szt.read_var_u(path)
    path.write_bytes(b"not MATLAB at all" * 50)
    with pytest.raises(ValueError, match="not a whole MATLAB 5 file"):
        szt.read_var_u(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.mat"):
        szt.read_var_u(tmp_path / "absent.mat")


def test_the_published_file(real_folder):
    F, y = szt.read_var_u(real_folder / "szt" / "var_u.mat")
    np.testing.assert_array_equal(F, X)
    np.testing.assert_array_equal(y, Y)
    data = load("szt", "all", root=real_folder)
    assert data.source == "local"
    assert data.fingerprint == load("szt", "all").fingerprint
