"""Structure, budget, policies and refitting of AMC, beside networks made the slow way."""

import copy
import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import nn
from torch.nn import functional

from ibcore import models
from ibcore.pruning import Policy, apply_policy
from ibcore.pruning.amc import Budget, Pruner, trace
from ibcore.pruning.amc.policy import _patches
from ibcore.pruning.surgery import count_macs, count_parameters, remove_channels

NETWORKS = {
    "vgg11_bn": {"width": 1 / 8},
    "resnet14": {"width": 1 / 2},
    "resnet50": {"width": 1 / 16},
    "mobilenet_v2": {"width": 1 / 8},
}


def images(n=2, side=32, seed=0):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def chain(*channels):
    """1x1 and 3x3 convolutions with a ReLU between them, one mean, one linear layer."""
    torch.manual_seed(0)
    layers = []
    for before, after in itertools.pairwise((3, *channels)):
        kernel = 1 if len(layers) == 2 else 3
        layers += [nn.Conv2d(before, after, kernel, padding=kernel // 2, stride=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 4))


# ---------------------------------------------------------------- structure


@pytest.mark.parametrize("name", NETWORKS)
def test_macs_of_a_structure_are_those_of_the_pruned_network(name):
    model = models.build(name, **NETWORKS[name])
    structure = trace(model, images())
    assert structure.macs(structure.channels) == count_macs(model, images())
    generator = np.random.default_rng(0)
    counts = [int(generator.integers(1, n + 1)) for n in structure.channels]
    removed = {
        group[0]: range(count, n)
        for group, n, count in zip(structure.groups, structure.channels, counts, strict=True)
    }
    smaller = remove_channels(model, images(), removed)
    assert structure.macs(counts) == count_macs(smaller, images())
    both = structure.macs([structure.channels, counts])
    assert both.tolist() == [structure.macs(structure.channels), structure.macs(counts)]


@pytest.mark.parametrize("name", NETWORKS)
def test_who_reads_a_group_is_who_loses_inputs(name):
    model = models.build(name, **NETWORKS[name])
    structure = trace(model, images())
    for number, group in enumerate(structure.groups):
        smaller = remove_channels(model, images(), {group[0]: [0]})
        losing = [
            layer
            for layer, module in model.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear)
            and layer not in group
            and module.weight.shape[1] > smaller.get_submodule(layer).weight.shape[1]
        ]
        assert [layer.name for layer in structure.readers(number)] == losing


def test_what_is_known_of_a_layer():
    structure = trace(models.build("mobilenet_v2", width=1 / 8), images())
    by_name = {layer.name: layer for layer in structure.layers}
    first, depthwise = by_name["features.0.0"], by_name["features.1.conv.0.0"]
    assert (first.inputs, first.outputs, first.kernel, first.stride) == (3, 4, 3, 1)
    assert (first.weights, first.macs, first.reads) == (108, 108 * 32**2, None)
    assert depthwise.reads is None
    assert depthwise.writes == first.writes == 0
    last = by_name["classifier"]
    assert (last.linear, last.writes, last.kernel, last.stride) == (True, None, 1, 1)
    assert last.macs == last.weights == 160 * 10


def grouped():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten())


class Concatenated(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.both = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(8, 2, 1)
        self.head = nn.Linear(2, 2)

    def forward(self, inputs):
        maps = self.both(torch.cat([self.one(inputs), self.two(inputs)], 1))
        return self.head(maps.mean((2, 3)))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (grouped(), "convolution '1' has groups=2"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding="same")), "padding='same'"),
        (models.build("lenet"), "400 inputs for the 16 channels .* flattened"),
        (Concatenated(), "layer 'both' has 8 inputs for the 4 channels of 'one'"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)),
            "no layer reads the channels of '1",
        ),
    ],
)
def test_networks_that_are_not_handled(model, words):
    with pytest.raises(ValueError, match=words):
        trace(model, images())


# ---------------------------------------------------------------- budget


def budget(name="vgg11_bn", **options):
    structure = trace(models.build(name, **NETWORKS[name]), images())
    return Budget(structure, **{"macs_kept": 0.5, "round_to": 1, **options})


def test_rounding_by_hand():
    found = budget(round_to=8, macs_kept=0.9)
    assert found.structure.channels == (8, 16, 32, 32, 64, 64, 64, 64)
    assert found.rounded([0.1, 0.1, 0.3, 0.51, 1, 0.13, 0.124, 0.9]) == (8, 8, 16, 16, 64, 8, 8, 64)
    assert budget(macs_kept=0.9).rounded([0.01] * 8) == (1,) * 8


@pytest.mark.parametrize("name", ["vgg11_bn", "resnet14"])
@pytest.mark.parametrize("macs_kept", [0.2, 0.5, 1.0])
def test_the_wall_never_lets_the_budget_break(name, macs_kept):
    found = budget(name, macs_kept=macs_kept, lowest=0.1)
    generator = np.random.default_rng(1)
    for _ in range(20):
        counts, cut = [], False
        for ratio in generator.random(len(found.structure.channels)) ** 0.2:
            counts.append(found.wall(counts, ratio))
            ratios = [*[1.0] * (len(counts) - 1), ratio]
            ratios += [1.0] * (len(found.structure.channels) - len(counts))
            wanted = max(found.smallest[len(counts) - 1], found.rounded(ratios)[len(counts) - 1])
            assert counts[-1] <= wanted
            cut |= counts[-1] < wanted
        assert found.structure.macs(counts) <= found.limit
        assert cut == (macs_kept < 1)


def test_the_wall_is_the_largest_number_that_fits():
    found = budget(macs_kept=0.3, lowest=0.1)
    decided = [found.wall([], 1.0)]
    after = [decided[0] + 1, *found.smallest[1:]]
    assert decided[0] == 8 or found.structure.macs(after) > found.limit
    while len(decided) < 8:
        count = found.wall(decided, 1.0)
        more = [*decided, count + 1, *found.smallest[len(decided) + 1 :]]
        full = found.structure.channels[len(decided)]
        assert count == full or found.structure.macs(more) > found.limit
        decided.append(count)


@pytest.mark.parametrize("name", ["vgg11_bn", "mobilenet_v2"])
def test_a_fit_uses_the_budget_up(name):
    found = budget(name, macs_kept=0.4, lowest=0.1)
    uniform = found.fit([1.0] * len(found.structure.channels))
    random = found.fit(np.random.default_rng(0).random(len(found.structure.channels)) + 0.01)
    for counts in (uniform, random):
        assert 0.9 * found.limit < found.structure.macs(counts) <= found.limit
    shares = np.array(uniform) / found.structure.channels
    wide = np.array(found.structure.channels) >= 20
    assert shares[wide].std() < 0.05
    assert uniform == found.fit([7.0] * len(uniform))


def test_a_whole_budget_keeps_everything():
    found = budget(macs_kept=1.0)
    assert found.fit([0.5] * 8) == found.structure.channels


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"macs_kept": 0.0}, r"macs_kept must lie in \(0, 1\], got 0.0"),
        ({"macs_kept": 1.5}, "got 1.5"),
        ({"lowest": 0}, "lowest must lie"),
        ({"round_to": 0}, "round_to must be positive, got 0"),
        ({"macs_kept": 0.01}, "macs_kept = 0.01 cannot be reached: with lowest = 0.2"),
    ],
)
def test_refused_budgets(options, words):
    with pytest.raises(ValueError, match=words):
        budget(**options)


@pytest.mark.parametrize("ratios", [[1.0] * 7, [1.0] * 7 + [0.0]])
def test_refused_ratios(ratios):
    with pytest.raises(ValueError, match="8 positive ratios are needed"):
        budget().fit(ratios)


# ---------------------------------------------------------------- policies


def test_a_policy_is_json_and_back():
    structure = trace(models.build("vgg11_bn", width=1 / 8), images())
    policy = Policy.of(structure, np.arange(1, 9))
    assert Policy.from_json(policy.to_json()) == policy
    assert list(policy.kept)[:2] == ["features.0", "features.4"]
    assert list(policy.kept.values()) == list(range(1, 9))


@pytest.mark.parametrize(
    "text", ["[1, 2]", '{"kept": {}}', '{"kept": [], "channels": {}}', '{"kept": 1, "channels": 2}']
)
def test_other_json_is_no_policy(text):
    with pytest.raises(ValueError, match="a policy holds the tables channels and kept"):
        Policy.from_json(text)


@pytest.mark.parametrize(
    ("channels", "kept", "words"),
    [
        ({"a": 2}, {"b": 1}, r"channels of \['a'\], but kept of \['b'\]"),
        ({"a": 2}, {"a": 0}, "layer 'a' keeps 0 of 2"),
        ({"a": 2}, {"a": 3}, "layer 'a' keeps 3 of 2"),
        ({"a": 2}, {"a": 1.5}, "layer 'a' keeps 1.5 of 2"),
        ({"a": "2"}, {"a": 1}, "layer 'a' keeps 1 of '2'"),
    ],
)
def test_refused_policies(channels, kept, words):
    with pytest.raises(ValueError, match=words):
        Policy(channels, kept)


# ---------------------------------------------------------------- pruning


def test_without_refitting_the_largest_channels_stay_as_they_are():
    model = chain(6, 5, 4)
    smaller = Pruner(model, images(), points=0).prune([3, 5, 4])
    norms = model[2].weight.abs().sum((0, 2, 3))
    kept = norms.topk(3).indices.sort().values
    assert torch.equal(smaller[0].weight, model[0].weight[kept])
    assert torch.equal(smaller[2].weight, model[2].weight[:, kept])


def test_a_shared_group_counts_all_its_readers():
    model = models.build("resnet14", width=1 / 4)
    pruner = Pruner(model, images(), points=0)
    norms = sum(
        model.get_submodule(name).weight.abs().sum((0, 2, 3))
        for name in ("layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1")
    )
    assert pruner._order[0].tolist() == norms.argsort(descending=True).tolist()


def fitted_by_regression(model, layer, name, kept, pictures):
    """Weights of a layer from scikit-learn, on the inputs and outputs of the full network."""
    inputs = {}
    handle = layer.register_forward_pre_hook(lambda _, args: inputs.update(x=args[0]))
    with torch.no_grad():
        model(pictures)
    handle.remove()
    x = inputs["x"]
    if isinstance(layer, nn.Linear):
        columns = x.double()[:, :, None]
        weights = layer.weight.double()
    else:
        columns = functional.unfold(x.double(), layer.kernel_size, padding=layer.padding)
        columns = columns.transpose(1, 2).flatten(0, 1).unflatten(1, (x.shape[1], -1))
        weights = layer.weight.double().flatten(1)
    target = columns.flatten(1) @ weights.T
    regression = LinearRegression(fit_intercept=False)
    regression.fit(columns[:, kept].flatten(1).numpy(), target.detach().numpy())
    return torch.from_numpy(regression.coef_).float()


def test_refitting_is_least_squares(monkeypatch):
    """With every position among the samples it is scikit-learn's regression, kernel for kernel."""
    monkeypatch.setattr("ibcore.pruning.amc.policy.RIDGE", 1e-13)
    model, pictures = chain(6, 5, 7), images(30, side=6)

    def everywhere(module, inputs, points, generator):
        if isinstance(module, nn.Linear):
            return inputs
        columns = functional.unfold(inputs, module.kernel_size, padding=module.padding)
        return columns.transpose(1, 2).flatten(0, 1)

    monkeypatch.setattr("ibcore.pruning.amc.policy._patches", everywhere)
    smaller = Pruner(model, pictures).prune([4, 3, 5])
    orders = Pruner(model, pictures)._order
    kept = [order[:n].sort().values for order, n in zip(orders, [4, 3, 5], strict=True)]
    for place, read, written in ((2, 0, 1), (4, 1, 2), (8, 2, None)):
        expected = fitted_by_regression(model, model[place], place, kept[read], pictures)
        if written is not None:
            expected = expected[kept[written]]
        found = smaller[place].weight.flatten(1)
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    assert torch.equal(smaller[0].weight, model[0].weight[kept[0]])


def test_refitting_comes_nearer_to_the_outputs():
    model, pictures = chain(8, 8, 8), images(200, side=8)
    counts = [5, 5, 5]
    with torch.no_grad():
        wanted = model(pictures)
        error = {
            points: (Pruner(model, pictures, points=points).prune(counts)(pictures) - wanted)
            .square()
            .mean()
            for points in (0, 10)
        }
    assert error[10] < 0.7 * error[0]


def test_a_redundant_channel_is_removed_without_loss():
    """A channel that repeats another is replaced by it, through a kernel of 3x3."""
    model = chain(6, 5, 7)
    with torch.no_grad():
        model[4].weight[:, 4] *= 0.01  # the smallest channel of the second layer ...
        model[2].weight[4], model[2].bias[4] = model[2].weight[1], model[2].bias[1]  # ... repeats
        pictures = images(60, side=8)
        smaller = Pruner(model, pictures, points=20).prune([6, 4, 7])
        torch.testing.assert_close(smaller(pictures), model(pictures), atol=1e-3, rtol=1e-3)


def test_sampled_positions_are_what_the_layer_reads():
    layer = nn.Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False)
    pictures, generator = images(5, side=9), torch.Generator().manual_seed(3)
    found = _patches(layer, pictures, 7, generator)
    outputs = found @ layer.weight.flatten(1).T
    maps = layer(pictures).permute(0, 2, 3, 1)
    for picture, rows in zip(maps.flatten(1, 2), outputs.split(7), strict=True):
        assert torch.cdist(rows, picture).min(1).values.max() < 1e-5


def test_few_positions_are_enough_to_go_on():
    smaller = Pruner(models.build("vgg11_bn", width=1 / 8), images(1), points=1).prune([4] * 8)
    assert all(torch.isfinite(value).all() for value in smaller.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_pruned_networks_are_smaller_and_can_be_trained(name):
    model = models.build(name, **NETWORKS[name]).to(memory_format=torch.channels_last)
    before = copy.deepcopy(model.state_dict())
    pruner = Pruner(model, images(8), points=4)
    counts = [max(1, n // 2) for n in pruner.structure.channels]
    smaller = pruner.prune(counts)
    assert count_macs(smaller, images()) == pruner.structure.macs(counts)
    assert count_parameters(smaller) < count_parameters(model) / 2
    smaller(images()).sum().backward()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    same = pruner.prune(pruner.structure.channels).eval()
    torch.testing.assert_close(same(images()), model.eval()(images()))


def test_a_policy_fits_a_fresh_network():
    model = models.build("resnet14", width=1 / 2, seed=1)
    pruner = Pruner(models.build("resnet14", width=1 / 2, seed=0), images(8))
    policy = Policy.from_json(pruner.policy([4, 3, 2, 9, 8, 7, 12, 11, 10]).to_json())
    smaller = apply_policy(model, policy, images(8), seed=5)
    assert count_macs(smaller, images()) == pruner.structure.macs(list(policy.kept.values()))
    expected = Pruner(model, images(8), seed=5).prune(list(policy.kept.values()))
    for one, other in zip(smaller.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match=r"the policy is for .* the network has"):
        apply_policy(models.build("resnet8", width=1 / 2), policy, images())


def test_refused_calibration():
    model = models.build("vgg11_bn", width=1 / 8)
    with pytest.raises(ValueError, match="at least one calibration image is needed"):
        Pruner(model, images(0))
    with pytest.raises(ValueError, match="points must not be negative, got -1"):
        Pruner(model, images(), points=-1)
    with pytest.raises(ValueError, match=r"layer 'features.0' keeps 9 of 8 channels"):
        Pruner(model, images(), points=0).prune([9] * 8)
