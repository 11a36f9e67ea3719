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
# # 10 The information plane of saliency maps (Muşat & Andonie 2022, Table 1)
#
# Does the information plane of Shwartz-Ziv & Tishby appear when $X$, $T$ and $Y$ are the saliency
# maps of the first, an intermediate and the last layer? The document trains VGG16 on CIFAR-10 and
# after every epoch averages over 50 random training images. It sees both coordinates rise at first
# and no compression later. Claim MA-1.
#
# $$I(M_1, M_2) = H(M_1) + H(M_2) - H(M_1, M_2) \qquad\text{(Eq. 8)}$$
#
# The document draws four layers and prints no numbers; only its accuracies can stand beside ours.
#
# Two readings. *Literal*: every $H$ is the relative entropy $H_{AME} = \frac14 \sum_{(k,l)}
# (H(k,l) - H(0)) / H(0)$ of equations 7 and 10, as the document says. *Raw*: $H(k,l)$ itself, in
# bits, averaged over the four neighbours. Only the raw reading is a mutual information: the literal
# one gives 1 for two independent noise maps and also 1 for two identical ones.
#
# **You will learn** what plug-in bias does to an information estimate, and to look for the baseline
# before you look at the curve.
#
# Runtime on two cores: smoke 10 s, laptop 2 min (notebooks 11 and 12 read the same runs), paper
# (50,000 images, 60 epochs, full width) needs a GPU and hours.

# %%
import numpy as np
import pandas as pd

from ibcore import claims, plotting, results, sweep
from ibcore.estimators import spatial_information
from ibcore.experiments import saliency_evolution
from ibcore.notebook import Chapter, explore

# %% tags=["parameters"]
profile = "smoke"
seed = 0

# %%
chapter = Chapter("10_saliency_information_plane", profile, seed)
configs = chapter.configs(saliency_evolution.Config)
pd.DataFrame({name: vars(config) for name, config in configs.items()})

# %% [markdown]
# ## Training and measuring
#
# The document trains VGG16 only; ResNet, DenseNet and GoogLeNet are trained for notebook 11 and
# shown here as well. No data augmentation: the document mentions none.

# %% tags=["nbval-ignore-output"]
runs = sweep.run(saliency_evolution, configs, seed=seed)
chapter.data_from(runs)

# %%
information, history = runs.table("information"), runs.table("history")
first = configs["VGG16"]
how = f"{first.images} training images, mean of {first.replicas} seeds"
vgg = information[information["run"] == "VGG16"]
shown = list(dict.fromkeys(vgg["layer"]))[:: -(-vgg["layer"].nunique() // 4)]
vgg[["layer", "last_layer"]].drop_duplicates()

# %%
figure, axes = plotting.grid(1, width=6)
plotting.over_epochs(axes[0, 0], history, "test_accuracy", hue="run", ylabel="test accuracy")
chapter.figure("accuracy", figure, f"Test accuracy of the networks, mean of {first.replicas} seeds")

# %%
document = results.read_csv(results.published_folder() / "layer_freezing.csv")
best = history.groupby(["run", "seed"], sort=False)["test_accuracy"].max() * 100
best = best.groupby("run", sort=False).mean().rename("here").reset_index()
best.loc[best["run"] == "VGG16", "document"] = document["max_accuracy_normal_percent"].max()
caption = "Best test accuracy in percent, mean over seeds; the document's VGG16 after 60 epochs"
chapter.table("accuracy", best, caption)

# %% [markdown]
# ## Maps that show nothing
#
# A constant map (all zero after the ReLU, or a single pixel) has no structure. Pairs with one are
# left out below; these are left.

# %%
once = information[(information["reading"] == "raw") & (information["levels"] == 256)]
pairs = once.groupby(["run", "layer"], sort=False)[["n_XT", "n_TY"]].mean().reset_index()
pairs[["n_XT", "n_TY"]] /= first.images
chapter.table("pairs", pairs, "Share of pairs without a constant map, mean over epochs and seeds")

# %% [markdown]
# ## The plane in three readings
#
# With 256 grey levels as in the document, raw and literal, and raw with 8 levels.

# %%
figure, axes = plotting.grid(3)
chosen = vgg[vgg["layer"].isin(shown)]
panels = list(chosen.groupby(["reading", "levels"], sort=False))
for ax, ((reading, levels), part) in zip(axes.flat, panels, strict=True):
    title = f"{reading}, {levels} levels"
    points = plotting.information_plane(ax, part, title=title)
    unit = "[bits]" if reading == "raw" else "(no unit)"
    ax.set(xlabel=f"I(first; layer) {unit}", ylabel=f"I(layer; last) {unit}")
plotting.epoch_colourbar(figure, points, list(axes.flat))
chapter.figure("planes", figure, f"Information planes of saliency maps of VGG16, {how}")

# %% [markdown]
# ## Beside the baseline
#
# The counterpart of a map: its own pixels in random places, shuffled at the layer's own size and
# then resized. Such a map keeps its grey levels, but knows nothing of where things are in the first
# layer's map. What the estimator reports for it is bias; only what a map has beyond it is
# information. Where the difference to the baseline is negative, none has been seen: in the laptop
# profile that is every row of the table below with 256 levels, raw or literal.

# %%
figure, axes = plotting.grid(len(panels), rows=2, height=3)
middle = vgg[vgg["layer"] == shown[len(shown) // 2]]
for column, (how_read, part) in enumerate(middle.groupby(["reading", "levels"], sort=False)):
    for ax, name in zip(axes[:, column], ("XT", "TY"), strict=True):
        values = {"maps": f"I_{name}", "shuffled": f"baseline_{name}"}
        long = [part.assign(kind=kind, value=part[source]) for kind, source in values.items()]
        title = f"{part['layer'].iloc[0]}, {how_read[0]}, {how_read[1]} levels"
        unit = "[bits]" if how_read[0] == "raw" else "(no unit)"
        label = {"XT": f"I(first; layer) {unit}", "TY": f"I(layer; last) {unit}"}[name]
        plotting.over_epochs(ax, pd.concat(long), "value", hue="kind", ylabel=label, title=title)
chapter.figure("baseline", figure, f"Information of one layer's maps and of shuffled ones, {how}")

# %%
last_epoch = information.groupby("run")["epoch"].transform("max")
ends = information[(information["epoch"] == 0) | (information["epoch"] == last_epoch)]
table = ends.groupby(["run", "reading", "levels", "epoch"], sort=False)
table = table[["I_XT", "baseline_XT", "I_TY", "baseline_TY"]].mean().reset_index()
for name in ("XT", "TY"):
    table[f"I_{name} - baseline"] = table[f"I_{name}"] - table[f"baseline_{name}"]
chapter.table("information", table, f"Before and after training, mean over layers; {how}")

# %% [markdown]
# ## The other networks
#
# Raw reading, 256 levels.

# %%
networks = list(once.groupby("run", sort=False))
figure, axes = plotting.grid(2, rows=-(-len(networks) // 2))
last_epoch = int(once["epoch"].max())
for ax, (run, part) in zip(axes.flat, networks, strict=False):
    some = list(dict.fromkeys(part["layer"]))[:: -(-part["layer"].nunique() // 4)]
    part = part[part["layer"].isin(some)]
    points = plotting.information_plane(ax, part, title=run, last_epoch=last_epoch)
    ax.set(xlabel="I(first; layer) [bits]", ylabel="I(layer; last) [bits]")
plotting.epoch_colourbar(figure, points, list(axes.flat))
chapter.figure("networks", figure, f"Information planes of four networks, raw reading, {how}")

# %% [markdown]
# ## Claims
#
# The claim is the document's and is decided in its own, literal reading; the raw one stands beside
# it. "Rise" is the slope over the first five epochs, "compression" a drop from the peak of the
# smoothed curve by more than the noise band. A curve that falls contradicts the claim, whatever the
# curve measures; otherwise, where shuffled maps carry as much, it is uninformative.

# %% tags=["nbval-check-output"]
by_reading = dict(list(vgg.groupby(["reading", "levels"], sort=False)))
decided = [claims.ma_1(by_reading[key]) for key in (("literal", 256), ("raw", 256))]
found = chapter.claims(chapter.named(decided, runs.select(["VGG16"])))
for row in found.itertuples():
    print(f"{row.claim}: {row.verdict}, {row.statistic.split(':')[0]}, {row.seeds} seeds")
start = vgg[(vgg["epoch"] == 0) & (vgg["levels"] == 256)].groupby("reading")["I_XT"].mean()
print(f"before training, raw {start['raw']:.0f} bits, literal {start['literal']:.1f}")
print("last layer with more than one pixel:", *vgg["last_layer"].unique())

# %%
rows = []
for (run, reading, levels), part in information.groupby(["run", "reading", "levels"], sort=False):
    verdict = claims.ma_1(part)
    rows.append((run, reading, levels, verdict.verdict, verdict.statistic))
columns = ["run", "reading", "levels", "verdict", "statistic"]
by_network = pd.DataFrame(rows, columns=columns)
chapter.table("by_network", by_network, "MA-1 for every network, reading and number of levels")

# %%
pd.set_option("display.max_colwidth", None)
found[["claim", "verdict", "statistic", "data"]]

# %% [markdown]
# ## Reading and caveats
#
# - With 256 levels a map of 32x32 pixels has at most about a thousand pixel pairs for 65,536 cells,
#   and a pair of maps the same thousand for $2^{32}$. Nearly every pair is new, $H(M_1, M_2)$ stops
#   at $\log_2$ of the number of pairs, and $I$ measures how many grey levels the two maps use. The
#   shuffled maps show how much of it that is.
# - What moves in the plane can so be the spread of grey levels in the maps. With 8 levels the bias
#   is smaller, and the maps stand out from the baseline where they share something.
# - Nothing is known about the label $Y$ here: the last layer's map stands for it.
# - The last pooling of VGG16 leaves maps of one pixel on 32x32 images. They are constant, and the
#   last layer with more than one pixel takes their place. Pairs with a constant map are left out of
#   the means; `n_XT` and `n_TY` in the run store count the others.
# - Batch size, momentum and the classifier's dropout are not in the document; here the batches are
#   the profile's, momentum is 0.9, and there is no dropout.
# - The smoke and laptop profiles train narrow networks on few images for few epochs: what they show
#   of "early" and "late" is less than the document had.

# %% [markdown]
# ## Try it


# %% tags=["nbval-ignore-output", "interactive"]
def draw(run, how_read, epoch):
    """Information plane of the saliency maps of one network, up to an epoch."""
    reading, levels = how_read.split(", ")
    part = information[(information["run"] == run) & (information["reading"] == reading)]
    part = part[part["levels"] == int(levels)]
    figure, axes = plotting.grid(1, width=5)
    points = plotting.information_plane(axes[0, 0], part, until=epoch, title=run)
    plotting.epoch_colourbar(figure, points, axes)
    return figure


epochs = sorted(set(information["epoch"]))
explore(draw, run=list(configs), how_read=["literal, 256", "raw, 256", "raw, 8"], epoch=epochs)

# %% [markdown]
# ## Exercises
#
# 1. (easy) How many horizontal pixel pairs has a 32x32 map, and what is the largest $H(1, 0)$ that
#    a plug-in estimate can give?
# 2. (easy) Two independent noise maps of 32x32 pixels with 256 levels: what does the raw reading
#    give, and what would infinitely large maps give?
# 3. (harder) Why is the literal reading 1 for two ideal identical maps, and also for two ideal
#    independent ones?

# %% [markdown] tags=["solution"]
# 1. $32 \cdot 31 = 992$ pairs, so $\log_2 992 = 9.95$ bits.
# 2. Nearly 9.9 bits, as if they were identical, see below; the truth is 0.
# 3. Ideal noise has $H(k,l) = 2 H(0)$, so $H_{AME} = 1$ for each map. The pair of maps is again
#    ideal noise, whether over one map's levels or over pairs of levels: $1 + 1 - 1 = 1$.

# %% tags=["solution"]
rng = np.random.default_rng(0)
one, two = rng.integers(0, 256, (2, 1, 32, 32), dtype=np.uint8)
print(f"independent: {spatial_information(one, two)[0]:.2f} bits")
print(f"identical: {spatial_information(one, one)[0]:.2f} bits")
print(f"independent, 2 levels: {spatial_information(one // 128, two // 128, levels=2)[0]:.2f} bits")

# %% [markdown]
# ## Provenance

# %% tags=["nbval-ignore-output"]
chapter.provenance(runs)
