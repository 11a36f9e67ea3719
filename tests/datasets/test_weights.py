"""Trained weights: where they are looked for, and that they are what they say."""

import hashlib

import numpy as np
import pooch
import pytest
import requests
import torch

from ibcore import models
from ibcore.datasets import DataUnavailable, weights
from ibcore.datasets.weights import load_weights

STATE = {"features.0.weight": torch.arange(6.0).reshape(2, 3), "features.0.bias": torch.zeros(2)}


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """A small file under torchvision's rules instead of AlexNet's; nothing failed before."""
    path = tmp_path / "made.pth"
    torch.save(STATE, path)
    content = path.read_bytes()
    name = f"alexnet-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setitem(weights.FILES, "alexnet", name)
    monkeypatch.setattr(weights, "_failed", {})
    return name, content


def downloading(monkeypatch, answer):
    calls = []

    def download(self, url, output, pooch_object):
        calls.append(url)
        if isinstance(answer, Exception):
            raise answer
        with open(output, "wb") as file:
            file.write(answer)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", download)
    return calls


@pytest.mark.parametrize("place", ["own", "raw", "hub"])
def test_places(small, sealed, tmp_path, place):
    name, content = small
    folder = {
        "own": tmp_path / "mine" / "weights",
        "raw": sealed / "weights",
        "hub": tmp_path / "torch" / "hub" / "checkpoints",
    }[place]
    (tmp_path / "mine").mkdir()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    found = load_weights("alexnet", root=tmp_path / "mine")
    assert (found.network, found.source) == ("alexnet", "official")
    assert list(found.state) == list(STATE)
    assert np.array_equal(found.state["features.0.weight"], STATE["features.0.weight"])
    assert found.note == f"torchvision's {name} (sha256)"


def test_download_is_kept(small, monkeypatch, sealed):
    name, content = small
    calls = downloading(monkeypatch, content)
    first = load_weights("alexnet")
    assert load_weights("alexnet").fingerprint == first.fingerprint
    assert calls == [f"{weights.ADDRESS}{name}"]
    assert sorted(p.name for p in (sealed / "weights").iterdir() if p.name != ".lock") == [name]


def test_another_process_may_have_fetched_it(small, monkeypatch, sealed):
    name, content = small
    calls = downloading(monkeypatch, content)
    (sealed / "weights").mkdir(parents=True)
    (sealed / "weights" / name).write_bytes(content)
    assert weights._download(name, sealed / "weights") == sealed / "weights" / name
    assert calls == []


@pytest.mark.parametrize("error", [requests.ConnectionError("long"), requests.Timeout("long")])
def test_without_network_the_answer_is_one_line_and_asked_for_once(monkeypatch, small, error):
    calls = downloading(monkeypatch, error)
    for _ in range(2):
        with pytest.raises(DataUnavailable, match="no connection, or it broke off") as caught:
            load_weights("alexnet")
        assert "\n" not in str(caught.value)
        assert small[0] in str(caught.value)
    assert len(calls) == 1


def test_other_content_from_the_net_is_no_delivery(small, monkeypatch, sealed):
    """As a page that asks to log in: nothing of it is kept or named, and it is asked for once."""
    calls = downloading(monkeypatch, b"<html>log in first</html>")
    for _ in range(2):
        with pytest.raises(DataUnavailable) as caught:
            load_weights("alexnet")
        assert "did not deliver (wrong content: its sha256 begins with " in str(caught.value)
        assert ".fetching" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert len(calls) == 1
    assert [p.name for p in (sealed / "weights").iterdir()] == [".lock"]


def test_wrong_content_on_this_machine_is_refused(small, sealed):
    name, content = small
    (sealed / "weights").mkdir(parents=True)
    (sealed / "weights" / name).write_bytes(content[:-3])
    with pytest.raises(ValueError, match=rf"weights/{name}: wrong content: .* Remove or replace"):
        load_weights("alexnet")


@pytest.mark.parametrize(
    ("name", "write"), [("empty.npz", np.savez), ("empty.pth", lambda path: torch.save({}, path))]
)
def test_a_file_without_weights_is_refused(tmp_path, name, write):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name}: not a whole file of weights \(it holds none"):
        weights._read(tmp_path / name)


def test_other_peoples_squeezenet(tmp_path, sealed):
    (tmp_path / "squeezenet").mkdir()
    for version in ("1_0", "1_1"):
        np.savez(
            tmp_path / "squeezenet" / f"squeezenet{version}_x.npz", a=np.full(3, int(version[-1]))
        )
    found = load_weights("squeezenet1_1", root=tmp_path)
    assert found.state["a"].tolist() == [1, 1, 1]
    assert found.source == "local"
    assert found.note == "local weights squeezenet1_1_x.npz, not those of torchvision"
    assert found.fingerprint != load_weights("squeezenet1_0", root=tmp_path).fingerprint


def test_unknown_network():
    with pytest.raises(ValueError, match="no weights known for 'lenet'; known are alexnet, vgg16"):
        load_weights("lenet")


@pytest.mark.parametrize("network", ["squeezenet1_0", "squeezenet1_1"])
def test_real_weights_fit(real_folder, network):
    found = load_weights(network, root=real_folder)
    model = models.build(f"imagenet_{network}", num_classes=1000)
    state = {name: torch.from_numpy(value) for name, value in found.state.items()}
    model.load_state_dict(state)
