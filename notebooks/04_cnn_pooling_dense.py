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
# # 04 Max pooling and fully connected layers (Li & Liu, Figs. 7 and 8)
#
# Three convolutions of 12 channels with and without one 2x2 max pooling after the second, and five
# convolutions of 3 channels followed by fully connected layers of 500, 1024 and 500 tanh units;
# training and estimator as in notebook 02. The document reads off: pooling ends with slightly more
# information, and tanh units compress nowhere. Claims LL-1, LL-5, LL-6.
#
# Beyond the document, the dense network is seen by other estimators and views, some of which leave
# the ceiling, beside a *null model* trained on permuted labels.
#
# $$I(X;T) = H(T), \qquad I(T;Y) = H(T) - \sum_c p_c\,H(T|Y=c) \qquad\text{(Eqs. 4, 5)}$$
#
# **You will learn** what pooling may and may not do to information, and why 500 tanh units that
# "do not compress" say little.
#
# Runtime on two cores: smoke 15 s, laptop 1 min, paper (10,000 epochs, 10,000 images) about
# four days without a GPU.

# %%
import pandas as pd

from ibcore import claims, plotting, sweep
from ibcore.experiments import information_plane
from ibcore.notebook import Chapter, explore

# %% tags=["parameters"]
profile = "smoke"
seed = 0

# %%
chapter = Chapter("04_cnn_pooling_dense", profile, seed)
configs = chapter.configs(information_plane.Config)
pd.DataFrame({name: vars(config) for name, config in configs.items()})

# %% [markdown]
# ## Training and measuring

# %% tags=["nbval-ignore-output"]
runs = sweep.run(information_plane, configs, seed=seed)
chapter.data_from(runs)

# %%
null = "Fashion-MNIST, dense, permuted labels"
settings = pd.DataFrame({"run": [run for run in configs if run != null]})
settings["dataset"] = settings["run"].map(runs.labels)
settings["setting"] = settings["run"].str.extract("(without|with|dense)")
settings["series"] = settings["setting"].map({"dense": "dense"}).fillna("pooling")
measurements, bounds = runs.table("measurements"), runs.table("bounds")
whole = measurements[(measurements["estimator"] == "binning") & (measurements["view"] == "whole")]
whole = whole.merge(settings, on="run")
first = configs[null]
how = f"binning 0.67, {first.n_test} images, mean of {first.replicas} seeds"

# %% [markdown]
# ## Pooling (Fig. 7)


# %%
def planes(series, name):
    """Panels of one series on training and test images."""
    part = whole[whole["series"] == series]
    part = part.assign(panel=part["run"] + ", " + part["set"])
    figure = plotting.information_planes(part, bounds, by="panel", columns=2)
    return chapter.figure(name, figure, f"Information planes, {series}, {how}")


planes("pooling", "planes_pooling")

# %%
output = whole[whole["layer"] == "output"]
pooling = output[output["series"] == "pooling"]
figure = plotting.information_over_epochs(pooling, bounds, hue="setting", by=["dataset", "set"])
chapter.figure(
    "output_pooling", figure, f"Output layer with and without pooling, {how}; dotted: H(Y)"
)

# %% [markdown]
# ## Fully connected layers (Fig. 8)

# %%
planes("dense", "planes_dense")

# %%
phases = claims.phases(whole, bounds)
saturation = phases.groupby(["run", "set", "layer"], sort=False)["saturated"].mean().unstack()
chapter.table(
    "saturation", saturation.reset_index(), "Share of the seeds in which a layer is saturated"
)

# %% [markdown]
# ## The dense network, seen in five ways
#
# Some of these views leave the ceiling and some do not: the table of falls says *cannot tell* where
# a layer ends at the ceiling in every seed.
#
# On test images. KDE adds noise of variance 0.1 to whole layers and 0.01 to *pooled* convolutions
# (every channel's mean over the image; dense layers have no such view); the matrix-based Rényi
# estimate takes the kernel width by alignment with the labels. Last row: permuted labels.

# %%
names = {
    ("binning", "whole"): "binning, whole",
    ("KDE upper", "pooled"): "KDE upper, pooled",
    ("KDE upper", "whole"): "KDE upper, whole",
    ("KDE lower", "whole"): "KDE lower, whole",
    ("Rényi", "whole"): "Rényi, whole",
}
seen = measurements[measurements["run"].isin(["Fashion-MNIST, dense", null])]
seen = seen[seen["set"] == "test"]
keys = pd.MultiIndex.from_frame(seen[["estimator", "view"]])
seen = seen.assign(seen=keys.map(names)).dropna(subset="seen")
seen = seen.sort_values("layer_index", kind="stable")

# %%
chapter.data_from(runs.select(["Fashion-MNIST, dense", null]))
figure, axes = plotting.grid(len(names), rows=3, width=3.3, height=2.8)
rows = [("Fashion-MNIST, dense", "I_XT"), ("Fashion-MNIST, dense", "I_TY"), (null, "I_TY")]
for row, (run, value) in enumerate(rows):
    for column, name in enumerate(names.values()):
        part = seen[(seen["run"] == run) & (seen["seen"] == name)]
        label = plotting.INFORMATION[value]
        title = f"{name}, permuted" if run == null else name
        plotting.over_epochs(axes[row, column], part, value, hue="layer", ylabel=label, title=title)
chapter.figure(
    "views",
    figure,
    f"One training seen in five ways, Fashion-MNIST, dense network, test images, {first.replicas} "
    "seeds; last row: null model with permuted labels",
)

# %%
phases_seen = claims.phases(seen[seen["run"] != null], bounds)
keys = pd.MultiIndex.from_frame(phases_seen[["estimator", "view"]])
phases_seen = phases_seen.assign(seen=keys.map(names))
falls = claims.falls(phases_seen, by=["seen", "layer"])
chapter.table("falls", falls, "Fall of I(X;T) in bits by estimator and view, 95% over seeds")

# %%
real, permuted = seen[seen["run"] != null], seen[seen["run"] == null]
excess = claims.beyond_null(real, permuted, by=["seen", "layer"])
chapter.table(
    "beyond_null", excess, "Last I(T;Y) on test images beside the null model's, in bits, 95%"
)

# %% [markdown]
# ## Claims

# %% tags=["nbval-check-output"]
chapter.data_from(runs)
verdicts = []
for _, part in whole.groupby("dataset", sort=False):
    names_of = part["run"].unique()
    last_layer = part[part["layer"] == "output"]
    found = [
        claims.ll_1(part, bounds),
        claims.ll_5(last_layer[last_layer["series"] == "pooling"]),
        claims.ll_6(phases[phases["run"].isin(names_of)], n_classes=10),
    ]
    verdicts += chapter.named(found, runs.select(names_of))
table = chapter.claims(verdicts)
for row in table.itertuples():
    print(f"{row.claim}: {row.verdict}, {row.seeds} seeds, {row.data}")
start = seen[(seen["epoch"] == 0) & (seen["run"] != null)].groupby("seen")["I_XT"].mean()
print(start.round(1).to_string())

# %%
pd.set_option("display.max_colwidth", None)
table[["claim", "verdict", "statistic", "data"]]

# %% [markdown]
# ## Reading and caveats
#
# - A pooled map is a function of the map before: pooling can only lose information. "More
#   information with pooling" is a statement about the output layers of two different networks.
# - Two networks that learn at different rates also differ on the way to one and the same end. LL-5
#   is decided only where $I(T;Y)$ has nearly stopped rising; the laptop profile, with 10 of the
#   10,000 epochs of the document's program, does not get there.
# - Whole dense layers have hundreds of tanh units, four bins each, for at most 10,000 images (300
#   in the laptop profile): far more cells than images, as in the convolutions. At the ceiling,
#   where every image has its own, no fall can be seen.
# - KDE with a fixed noise variance follows the scale of a layer: tanh units that move towards
#   $\pm 1$ drift apart, and the estimate rises without any new information.
# - Permuted labels show how much $I(T;Y)$ an estimator reports where there is none.
#
# Departures from the document's program: distinct images; a measurement before training; its dense
# network has softmax output as here.

# %% [markdown]
# ## Try it


# %% tags=["nbval-ignore-output", "interactive"]
def draw(run, part, epoch):
    """Information plane of one network on the training or the test images, up to an epoch."""
    chosen = whole[(whole["run"] == run) & (whole["set"] == part)]
    return plotting.information_planes(chosen, bounds, until=epoch)


epochs = sorted(set(whole["epoch"]))
explore(draw, run=list(settings["run"]), part=["train", "test"], epoch=epochs)

# %% [markdown]
# ## Exercises
#
# 1. (easy) May $I(X;T)$ of the layer after a pooling exceed that of the layer before it?
# 2. (easy) How many images does a layer of 500 binary units need before two of them must share a
#    symbol?
# 3. (harder) The document concludes that tanh does not compress here. Which of the five views above
#    could have shown compression, had there been any?

# %% [markdown] tags=["solution"]
# 1. No: it is a function of it (data processing inequality).
# 2. More than $2^{500}$.
# 3. Those whose curves do not end at their ceiling: the table of falls says *cannot tell* of the
#    others; see also the first column of panels beside the rest.

# %% tags=["solution"]
print(f"2^500 is about 10^{500 * 0.30103:.0f}")

# %% [markdown]
# ## Provenance

# %% tags=["nbval-ignore-output"]
chapter.provenance(runs)
