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
# # 03 Kernel size and depth (Li & Liu, Figs. 5 and 6), and what a saturated estimate hides
#
# The networks of notebook 02 with other kernels (five convolutions of 3 channels with 3x3, 5x5 or
# 7x7; two with 3x3, 7x7 or 11x11) and other depths (1, 2, 6 or 9 convolutions of 6 channels). The
# document reads off: larger kernels and more layers start higher, up to a size; all end at the same
# $I(T;Y)$; nothing compresses. Claims LL-1, LL-3, LL-4, LL-6.
#
# Beyond the document, one network is seen by other estimators and views, some of which leave the
# ceiling, beside a *null model*: the same network trained on permuted labels.
#
# $$I(X;T) = H(T), \qquad I(T;Y) = H(T) - \sum_c p_c\,H(T|Y=c) \qquad\text{(Eqs. 4, 5)}$$
#
# $$I(X;T_1) \ge I(X;T_2) \ge \dots \qquad\text{(data processing inequality, Eq. 6)}$$
#
# **You will learn** how the view of a layer (whole, pooled, one filter) decides what an estimate
# can say, what a null model is for, and what the data processing inequality forbids.
#
# Runtime on two cores: smoke 15 s, laptop 1 min, paper (10,000 epochs, 10,000 images) about
# a week without a GPU.

# %%
import pandas as pd

from ibcore import claims, plotting, sweep
from ibcore.experiments import information_plane
from ibcore.notebook import Chapter, explore

# %% tags=["parameters"]
profile = "smoke"
seed = 0

# %%
chapter = Chapter("03_cnn_kernel_depth", profile, seed)
configs = chapter.configs(information_plane.Config)
pd.DataFrame({name: vars(config) for name, config in configs.items()})

# %% [markdown]
# ## Training and measuring

# %% tags=["nbval-ignore-output"]
runs = sweep.run(information_plane, configs, seed=seed)
chapter.data_from(runs)


# %%
def describe(run):
    """Series and size of a setting; the rows of one series differ in one thing only."""
    options = configs[run].model_options
    layers, kernel = len(options["widths"]), options["kernel_size"]
    if options["widths"][0] == 6:
        return run, runs.labels[run], "depth", layers
    return run, runs.labels[run], f"kernel, {layers} convolutions", kernel


null = "Fashion-MNIST, depth 6, permuted labels"
columns = ["run", "dataset", "series", "setting"]
settings = pd.DataFrame([describe(run) for run in configs if run != null], columns=columns)
measurements, bounds = runs.table("measurements"), runs.table("bounds")
whole = measurements[(measurements["estimator"] == "binning") & (measurements["view"] == "whole")]
whole = whole.merge(settings, on="run")
first = configs[null]
how = f"binning 0.67, {first.n_test} images, mean of {first.replicas} seeds"

# %% [markdown]
# ## Information planes (Figs. 5 and 6)
#
# One row of panels per data set and set of images. Nearly all convolutional layers lie on top of
# each other in the upper right corner; the last ones behind large kernels or many layers may start
# lower and climb.


# %%
def planes(series, name):
    """Panels of one series: sizes from left to right."""
    part = whole[whole["series"] == series]
    part = part.assign(panel=part["run"] + ", " + part["set"])
    part = part.sort_values(["dataset", "set", "setting"], kind="stable")
    sizes = part["setting"].nunique()
    figure = plotting.information_planes(part, bounds, by="panel", columns=sizes)
    return chapter.figure(name, figure, f"Information planes, {series}, {how}")


planes("kernel, 5 convolutions", "planes_kernel_5")

# %%
planes("kernel, 2 convolutions", "planes_kernel_2")

# %%
planes("depth", "planes_depth")

# %% [markdown]
# ## The output layer through training

# %%
output = whole[whole["layer"] == "output"]


def curves(series, name):
    """I(X;T) and I(T;Y) of the output layer, one line per size."""
    part = output[output["series"] == series]
    figure = plotting.information_over_epochs(part, bounds, hue="setting", by=["dataset", "set"])
    return chapter.figure(name, figure, f"Output layer by size, {series}, {how}; dotted: H(Y)")


curves("kernel, 5 convolutions", "output_kernel_5")

# %%
curves("kernel, 2 convolutions", "output_kernel_2")

# %%
curves("depth", "output_depth")

# %% [markdown]
# ## Which layers can answer at all?
#
# *Saturated* is a layer that never leaves the last 0.05 bit below its ceiling. One that starts
# lower and ends there cannot be asked for a fall either, and LL-6 leaves out both (see notebook
# 02).

# %%
phases = claims.phases(whole, bounds)
saturation = phases.groupby(["run", "set", "layer"], sort=False)["saturated"].mean().unstack()
chapter.table(
    "saturation", saturation.reset_index(), "Share of the seeds in which a layer is saturated"
)

# %% [markdown]
# ## The same training, seen in six ways
#
# Some of these views leave the ceiling and some do not: the table of falls says *cannot tell* where
# a layer ends at the ceiling in every seed.
#
# Six convolutions of 6 channels on Fashion-MNIST, test images. *Pooled*: every channel's mean over
# the image, 6 numbers per image. *Filter*: every channel by itself, averaged over channels. KDE
# adds noise of variance 0.01 to pooled layers and 0.1 to whole ones; the matrix-based Rényi
# estimate takes the kernel width by alignment with the labels. The last row is the null model:
# labels permuted, so that the true $I(T;Y)$ of unseen images is zero.

# %%
names = {
    ("binning", "whole"): "binning, whole",
    ("binning", "filter"): "binning, filter",
    ("binning", "pooled"): "binning, pooled",
    ("KDE upper", "pooled"): "KDE upper, pooled",
    ("KDE upper", "whole"): "KDE upper, whole",
    ("Rényi", "whole"): "Rényi, whole",
}
seen = measurements[measurements["run"].isin(["Fashion-MNIST, depth 6", null])]
seen = seen[seen["set"] == "test"]
keys = pd.MultiIndex.from_frame(seen[["estimator", "view"]])
seen = seen.assign(seen=keys.map(names)).dropna(subset="seen")
seen = seen.sort_values("layer_index", kind="stable")
by_seed = ["run", "seen", "layer_index", "layer", "epoch", "seed"]
averaged = seen.groupby(by_seed)[["I_XT", "I_TY"]].mean().reset_index()

# %%
chapter.data_from(runs.select(["Fashion-MNIST, depth 6", null]))
figure, axes = plotting.grid(len(names), rows=3, width=3.3, height=2.8)
rows = [("Fashion-MNIST, depth 6", "I_XT"), ("Fashion-MNIST, depth 6", "I_TY"), (null, "I_TY")]
for row, (run, value) in enumerate(rows):
    for column, name in enumerate(names.values()):
        part = averaged[(averaged["run"] == run) & (averaged["seen"] == name)]
        label = plotting.INFORMATION[value]
        title = f"{name}, permuted" if run == null else name
        plotting.over_epochs(axes[row, column], part, value, hue="layer", ylabel=label, title=title)
chapter.figure(
    "views",
    figure,
    f"One training seen in six ways, Fashion-MNIST, depth 6, test images, {first.replicas} seeds; "
    "last row: null model with permuted labels",
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
# ### The data processing inequality as a test of the estimates
#
# $I(X;T)$ cannot rise from a layer to the next. Largest rise in each estimate at the last epoch:

# %%
last = averaged[(averaged["run"] != null) & (averaged["epoch"] == averaged["epoch"].max())]
chain = last.set_index(["seen", "seed", "layer_index"])["I_XT"].unstack()
rises = chain.diff(axis=1).max(axis=1).groupby("seen").mean().rename("largest rise [bits]")
chapter.table(
    "dpi", rises.reset_index(), "Largest rise of I(X;T) from one layer to the next, last epoch"
)

# %% [markdown]
# ## Claims

# %% tags=["nbval-check-output"]
chapter.data_from(runs)
verdicts = []
for _, part in whole.groupby("dataset", sort=False):
    names_of = part["run"].unique()
    found = [
        claims.ll_1(part, bounds),
        claims.ll_3(part[part["layer"] == "output"]),
        claims.ll_4(part[part["layer"] == "output"]),
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
# - Nearly all whole convolutions binned at 0.67 sit at $\log_2 n$ from epoch 0 on, whatever the
#   network does; the last ones behind large kernels or many layers may start lower and climb. KDE
#   on whole layers is not better, because distances in hundreds of dimensions dwarf the noise. At
#   the ceiling these estimates cannot show compression, and cannot show its absence.
# - Pooled and single-filter views are coarser variables, functions of the layer: what they lose is
#   lost by the view and not by the network. They may rise while the layer's own $I(X;T)$ cannot,
#   so a fall in a view is a statement about that view.
# - The null model gives the zero line: every $I(T;Y)$ of plug-in type is biased upwards, more so
#   with few images per cell. Only what exceeds the last row of panels is knowledge about labels. In
#   the deeper convolutions (laptop profile, from the third on) the matrix-based estimate reports
#   nearly as much about permuted labels as about true ones: the kernel width that aligns best with
#   the labels is so narrow there that every image is on its own. In the first convolution and in
#   the output layer it tells them apart.
# - "All end at the same $I(T;Y)$" needs an end: while curves still rise, LL-4 stays inconclusive.
# - The laptop profile trains on fewer images and for a few epochs only.
#
# Departures from the document's program: distinct images (there, apparently drawn with repeats); a
# measurement before training.

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
# 1. (easy) Why can $I(X;T)$ not increase from one layer to the next? What does it mean when an
#    estimate of it does?
# 2. (easy) A network has 9 convolutions of 3x3, the first padded. How large is the last map?
# 3. (harder) Which bin width would take a whole layer of 6 channels of 28x28 out of saturation with
#    300 images? Would you trust what it then says?
# 4. (harder) The null model's $I(T;Y)$ on *training* images can exceed that on test images. Why?

# %% [markdown] tags=["solution"]
# 1. The next layer is a function of the one before, and functions create no information about X. An
#    estimate that rises measures something else: a coarser variable (pooling, a filter), a changed
#    amount of noise relative to the layer's scale, or its own bias.
# 2. See below.
# 3. Tanh lies in (-1, 1): from width 1 on there are two bins, negative and not. The signs of 4,704
#    units are enough to tell 300 images apart, so no width will do.
# 4. The network can memorise permuted labels of images it has seen.

# %% tags=["solution"]
print(f"last map: {28 - 8 * 2} x {28 - 8 * 2}")

# %% [markdown]
# ## Provenance

# %% tags=["nbval-ignore-output"]
chapter.provenance(runs)
