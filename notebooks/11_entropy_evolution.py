# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 11 Spatial entropy through training (Muşat & Andonie 2022, Table 2 and Fig. 1)
#
# How does the spatial entropy of a layer's saliency maps move while the network learns? The
# document trains VGG16 on CIFAR-10 and sees it grow and then flatten out, more abruptly near the
# input, and in ResNet, DenseNet and GoogLeNet as well; a few layers, the 28th among them, are
# exceptions. Claims MA-2, MA-3 and MA-4. It shows curves and prints no numbers.
#
# $$H_{AME} = \frac14 \sum_{(k,l)} \frac{H(k,l) - H(0)}{H(0)} \qquad\text{(Eqs. 5 and 7)}$$
#
# in the four directions $(k,l) = (\pm1, 0), (0, \pm1)$; $H(k,l)$ is the entropy of a pixel together
# with its neighbour, $H(0)$ that of a pixel alone. The result has no unit: noise gives 1.
#
# Whether a curve "grows and flattens out" is decided by a fit:
#
# $$f(e) = a + b \min(e, e_0)$$
#
# with the bend $e_0$ at any epoch. A layer *follows* if it climbs by more than the noise, and
# the level lasts a quarter of the epochs without drifting.
#
# **You will learn** to put a question about the shape of a curve as a fit that can fail, and to
# tell what the network did from what the sampling did.
#
# Runtime on two cores: smoke 10 s, laptop 2 min (both shared with notebooks 10 and 12, which read
# the same runs), paper (50,000 images, 60 epochs, full width) needs a GPU and hours.

# %%
import numpy as np
import pandas as pd

from ibcore import claims, plotting, sweep
from ibcore.experiments import saliency_evolution
from ibcore.notebook import Chapter, explore

# %% tags=["parameters"]
profile = "smoke"
seed = 0

# %%
chapter = Chapter("11_entropy_evolution", profile, seed)
configs = chapter.configs(saliency_evolution.Config)
pd.DataFrame({name: vars(config) for name, config in configs.items()})

# %% [markdown]
# ## Training and measuring
#
# After every epoch Grad-CAM maps of all layers come from one forward and one backward pass, for
# other training images every time (*resample*, as the document does) and for always the same ones
# (*fixed*).

# %% tags=["nbval-ignore-output"]
runs = sweep.run(saliency_evolution, configs, seed=seed)
chapter.data_from(runs)

# %%
entropy, maps = runs.table("entropy"), runs.table("maps")
first = configs["VGG16"]
how = f"{first.images} training images, {first.replicas} seeds"
vgg = entropy[(entropy["run"] == "VGG16") & (entropy["probe"] == "resample")]
layers = list(dict.fromkeys(vgg["layer"]))
print(f"{len(layers)} layers of VGG16, {vgg['epoch'].max()} epochs, {how}")

# %% [markdown]
# ## One picture through the layers
#
# Maps of the predicted class, truncated to 256 grey levels and resized to the input with Lanczos.
# The size above a map is that of its layer.

# %%
pictures = maps[maps["run"] == "VGG16"]
pictures = pictures[pictures["row"] == pictures["row"].iloc[0]]
picture = pictures[pictures["layer"] == "picture"]
shown = pictures[pictures["layer"] != "picture"]
strips = {
    f"epoch {epoch}": pd.concat([picture, shown[shown["epoch"] == epoch]])
    for epoch in (0, shown["epoch"].max())
}
figure = plotting.saliency_strips(strips, every=3)
chapter.figure("depth", figure, "Saliency maps of one training image through the layers of VGG16")

# %% [markdown]
# ## One layer through training

# %%
some = ["features.2", "features.9", "features.16", "features.28"]
every = -(-shown["epoch"].max() // 8)
through = shown.assign(name="epoch " + shown["epoch"].astype(str))
strips = {
    layer: pd.concat([picture, through[through["layer"] == layer].assign(layer=through["name"])])
    for layer in some
}
figure = plotting.saliency_strips(strips, every=every)
chapter.figure("training", figure, "Saliency maps of one training image, four layers of VGG16")

# %% [markdown]
# ## Four layers, as in Table 2 and Figure 1
#
# Beside them the same maps with their pixels in random places, shuffled at the layer's own size: so
# much entropy has a map of that resolution with these grey levels and no structure.

# %%
values = {"maps": "entropy", "pixels shuffled": "baseline"}
both = pd.concat([vgg.assign(of=of, value=vgg[column]) for of, column in values.items()])
figure, axes = plotting.grid(len(some), width=3.6)
for ax, layer in zip(axes.flat, some, strict=True):
    part = both[both["layer"] == layer]
    plotting.over_epochs(
        ax, part, "value", hue="of", ylabel="aura matrix entropy (no unit)", title=layer
    ).set_xscale("linear")
chapter.figure("four", figure, f"Entropy of four layers of VGG16, mean and spread, {how}")

# %% [markdown]
# ## Every layer, with the fit
#
# Titles count the seeds in which the layer follows the two phases. Mind the scales.

# %%
fits = claims.two_phases(entropy[entropy["probe"] == "resample"], "entropy")
figure = plotting.entropy_by_layer(vgg, fits[fits["run"] == "VGG16"])
chapter.figure(
    "layers", figure, f"Entropy of the layers of VGG16, a line per seed, fits dotted, {how}"
)

# %% [markdown]
# ## The other networks

# %%
others = [name for name in configs if name != "VGG16"]
figure, axes = plotting.grid(len(others), height=4)
for ax, run in zip(axes.flat, others, strict=True):
    part = entropy[(entropy["run"] == run) & (entropy["probe"] == "resample")]
    names = list(dict.fromkeys(part.dropna(subset="entropy")["layer"]))
    part = part[part["layer"].isin(names[:: -(-len(names) // 7)])]
    plotting.over_epochs(
        ax, part, "entropy", hue="layer", ylabel="aura matrix entropy (no unit)", title=run
    ).set_xscale("linear")
chapter.figure("networks", figure, f"Entropy of some layers of three networks, mean, {how}")

# %% [markdown]
# ## What the fits say
#
# Share of layers that rise, that follow (rise and level), and that still climb at the end, beside
# the accuracy that the network came to: one that has learned little says little.

# %%
kinds = {
    probe: claims.two_phases(entropy[entropy["probe"] == probe], "entropy")
    for probe in first.probes
}
shares = pd.concat(kinds, names=["probe"]).groupby(["probe", "run"], sort=False)
shares = shares[["rises", "follows", "climbs", "rise", "bend", "band"]].mean().reset_index()
history = runs.table("history")
last = history[history["epoch"] == history.groupby("run")["epoch"].transform("max")]
accuracy = last.groupby("run")[["train_accuracy", "test_accuracy"]].mean()
shares = shares.join(accuracy, on="run")
chapter.table("shares", shares, f"Shares of layers, and means of rise, bend and noise band, {how}")

# %%
quick = fits[(fits["run"] == "VGG16") & fits["rises"]].sort_values("layer_index")
quick = quick.groupby("layer", sort=False)
quick = quick["epochs_to_level"].agg(["mean", "min", "max", "size"]).reset_index()
quick = quick.rename(columns={"min": "low", "max": "high", "size": "seeds"})
chapter.table("quickness", quick, "Epochs to 90% of the level, layers of VGG16 that rise")

# %%
figure, axes = plotting.grid(1, width=6, height=1 + 0.2 * len(quick))
plotting.intervals(axes[0, 0], quick, label="layer", xlabel="epochs to 90% of the level")
chapter.figure("quickness", figure, f"Mean and range over seeds, VGG16, rising layers, {how}")

# %% [markdown]
# ## Maps that show nothing
#
# All zero after the ReLU, or a single pixel: such a map has no structure and is left out of the
# means.

# %%
counted = entropy[entropy["probe"] == "resample"]
empty = counted.groupby(["run", "layer"], sort=False)[["degenerate", "n"]].sum()
empty["share"] = empty["degenerate"] / empty["n"]
empty = empty[empty["degenerate"] > 0].reset_index()
chapter.table("degenerate", empty, "Constant maps of all epochs and seeds")

# %% [markdown]
# ## What recording costs
#
# Seconds per epoch of all seeds together. One probe records the entropy of all layers, and that of
# the shuffled maps; "share" is what the document's probe (*resample*) adds to training. The first
# epochs pay for warming up and are left out.

# %% tags=["nbval-ignore-output"]
times = runs.table("timings")
cost = times[times["epoch"] > 1].groupby(["run", "part"], sort=False)["seconds"].median()
cost = cost.unstack("part")
cost["share"] = cost["entropy, resample"] / cost["training"]
cost.insert(0, "training images", [configs[run].n_train or 50_000 for run in cost.index])
machine = "/".join(runs.provenance()["device"].unique())
chapter.table("cost", cost.reset_index(), f"Seconds per epoch, median over epochs, {machine}")

# %% [markdown]
# ## Claims

# %% tags=["nbval-check-output"]
alone = fits[fits["run"] == "VGG16"]
found = chapter.named([claims.ma_2(fits)], runs)
found += chapter.named([claims.ma_3(alone), claims.ma_4(alone)], runs.select(["VGG16"]))
table = chapter.claims(found)
for row in table.itertuples():
    print(f"{row.claim}: {row.verdict}, {row.seeds} seeds")
start = vgg[vgg["epoch"] == 0].groupby("layer")["entropy"].mean()
print("before training:", start[["features.5", "features.15", "features.29"]].round(1).to_dict())
print("layers without any map:", *start.index[start.isna()])

# %%
pd.set_option("display.max_colwidth", None)
table[["claim", "verdict", "statistic", "data"]]

# %%
chapter.table("exceptions", claims.exceptions(fits), "Layers that neither follow nor still climb")

# %% [markdown]
# With the same images after every epoch:

# %%
rows = []
for probe, part in kinds.items():
    own = part[part["run"] == "VGG16"]
    for verdict in (claims.ma_2(part), claims.ma_3(own), claims.ma_4(own)):
        rows.append((probe, verdict.claim, verdict.verdict, verdict.statistic))
by_probe = pd.DataFrame(rows, columns=["probe", "claim", "verdict", "statistic"])
chapter.table("by_probe", by_probe, "The claims by the choice of images")

# %% [markdown]
# ## Reading and caveats
#
# - Look at the first epochs of each layer before you believe a rise: a curve that first falls and
#   then comes back ends a "rise" where it began. The fit takes only what lies above its start.
# - Another sample of images every epoch moves the mean although the network stands still. The
#   noise band of the fit is made from that; with fixed images it is a little narrower in all
#   four networks of the laptop profile.
# - The last pooling of VGG16 leaves one pixel on 32x32 images. Such a map is constant, and the
#   layer has no curve.
# - A layer that still climbs at the last epoch may level off later: it counts neither for the
#   document nor against it. Short trainings may leave more of them.
# - Whether layer 28 is an exception is a yes or no per seed. Three seeds of three leave its share
#   anywhere between 0.29 and 1: MA-4 cannot be decided by fewer than six, which VGG16 has in the
#   paper profile only.
# - The narrow networks of the smoke and laptop profiles see few images for few epochs. What takes
#   the document 60 epochs may not have begun here: a verdict on such networks is one on them.
# - ResNet, DenseNet and GoogLeNet are fitted to 32x32 images: strides and poolings near the input
#   are left out. The document does not say what it did.

# %% [markdown]
# ## Try it


# %% tags=["nbval-ignore-output", "interactive"]
def draw(run, depth):
    """Entropy of one layer, given by its place between input (0) and output (1), and its fit."""
    part = entropy[(entropy["run"] == run) & (entropy["probe"] == "resample")]
    fit = fits[fits["run"] == run]
    known = fit.sort_values("layer_index")["layer"].unique()
    layer = known[round(depth * (len(known) - 1))]
    return plotting.entropy_by_layer(part, fit[fit["layer"] == layer], columns=2)


explore(draw, run=list(configs), depth=[0.0, 0.25, 0.5, 0.75, 1.0])

# %% [markdown]
# ## Exercises
#
# 1. (easy) A curve reads 0.30, 0.34, 0.36, 0.38, 0.40, 0.40, 0.40, 0.40, 0.40 at epochs 0 to 8.
#    Where would you put the bend, and at which epoch has it come to 90% of its level?
# 2. (harder) The entropies of single maps spread about their mean. How far does the mean of
#    50 images move from epoch to epoch though the network stands still? Compare with the rises.
# 3. (harder) Why does the entropy of a layer with 4x4 maps lie far below that of the first layer,
#    whatever the network has learned?

# %% [markdown] tags=["solution"]
# 1. The best line runs from 0.309 at epoch 0 to 0.401 at epoch 4, see below. 90% of that way,
#    0.392, is reached at epoch 4 as well.
# 2. By the spread divided by $\sqrt{50}$, see below.
# 3. Resized to 32x32 every pixel is much like its neighbours, because a whole patch of them comes
#    from one. The shuffled maps, which do not know where anything is, lie low as well in the figure
#    of four layers.

# %% tags=["solution"]
curve = [0.30, 0.34, 0.36, 0.38, 0.40, 0.40, 0.40, 0.40, 0.40]
line = pd.DataFrame({"epoch": range(9), "value": curve})
print(claims.two_phases(line.assign(run="a", seed=0, layer="a", layer_index=0), "value").T)
noise = vgg.groupby("layer", sort=False)["deviation"].mean() / np.sqrt(first.images)
print(f"noise of the mean, median over layers: {noise.median():.4f}")
print(f"rise, median over layers: {alone['rise'].median():.4f}")

# %% [markdown]
# ## Provenance

# %% tags=["nbval-ignore-output"]
chapter.provenance(runs)
