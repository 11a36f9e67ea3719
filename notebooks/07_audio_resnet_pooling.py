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
# # 07 A mini ResNet, before and after pooling (Padova slides)
#
# One convolution, two residual layers of two blocks each, pooling over the whole map, one linear
# layer, ReLU. The slides bin every block, the layers before and after the pooling, and each filter
# of the pooled layer; "pooling had a big influence on the MI". Claim PD-3.
#
# $$I(X;T) = H(T), \qquad I(T;Y) = H(T) - \sum_c p_c\,H(T|Y=c)$$
#
# Pooling is a function of the layer before it, so the true information can only shrink:
#
# $$I(X;\operatorname{pool}(T)) \le I(X;T), \qquad I(\operatorname{pool}(T);Y) \le I(T;Y)$$
#
# **You will learn** to tell what pooling takes away from the network from what it takes away from
# the estimator, namely dimensions.
#
# Runtime on two cores: smoke 20 s, laptop 1 min, paper (128x128 spectrograms, 50 epochs) about an
# hour with GTZAN (FMA-small has eight times as many clips).

# %%
import pandas as pd

from ibcore import claims, plotting, sweep
from ibcore.experiments import information_plane
from ibcore.notebook import Chapter, explore

# %% tags=["parameters"]
profile = "smoke"
seed = 0

# %%
chapter = Chapter("07_audio_resnet_pooling", profile, seed)
configs = chapter.configs(information_plane.Config)
pd.DataFrame({name: vars(config) for name, config in configs.items()})

# %% [markdown]
# ## Training and measuring
#
# The slides say max pooling where they describe the network and average pooling on every figure:
# both are run.

# %% tags=["nbval-ignore-output"]
runs = sweep.run(information_plane, configs, seed=seed)
chapter.data_from(runs)

# %%
measurements, history = runs.table("measurements"), runs.table("history")
bounds = runs.table("bounds")
binned = measurements[measurements["parameter"] == 0.5]
whole, filters = (binned[binned["view"] == view] for view in ("whole", "filter"))
average = configs["average pooling"]
n = bounds["n"].iloc[0]
how = f"binning 0.5, {n} training clips, mean of {average.replicas} seeds"

# %% [markdown]
# ## Every block and layer
#
# `layer1.0` is the first block of the first residual layer; the last block of a layer is the layer.

# %%
figure = plotting.planes_and_training(whole, history, bounds)
chapter.figure("planes", figure, f"Blocks of the mini ResNet, {how}, with loss and accuracy")

# %%
blocks = whole[(whole["run"] == "average pooling") & whole["layer"].str.startswith("layer")]
blocks = blocks.assign(residual=blocks["layer"].str.split(".").str[0])
figure = plotting.information_planes(blocks, bounds, by="residual")
chapter.figure("blocks", figure, f"The blocks of each residual layer, average pooling, {how}")

# %% [markdown]
# ## Before and after pooling

# %%
pair = whole[whole["layer"].isin(["layer2.1", "pool"])]
figure = plotting.information_planes(pair, bounds)
chapter.figure("pooling_planes", figure, f"Whole layers before and after pooling, {how}")

# %%
figure = plotting.information_over_epochs(pair, bounds, hue="layer", by=["run"])
chapter.figure(
    "pooling_curves", figure, f"Whole layers before and after pooling, {how}; dotted: limits"
)

# %% [markdown]
# Per filter a map of many values becomes one number. Before pooling the mean filter is itself at
# the ceiling or close to it, so the loss is at least what is shown.

# %%
of_filters = filters[filters["layer"].isin(["layer2.1", "pool"])]
keys = ["run", "set", "layer", "epoch", "seed"]
mean_filter = of_filters.groupby(keys, sort=False)[["I_XT", "I_TY"]].mean().reset_index()
figure = plotting.information_over_epochs(mean_filter, bounds, hue="layer", by=["run"])
chapter.figure(
    "pooling_filters", figure, f"The mean filter before and after pooling, {how}; dotted: limits"
)

# %%
pooled = filters[(filters["layer"] == "pool") & (filters["seed"] == seed)]
figure = plotting.filter_planes(pooled[pooled["run"] == "average pooling"], bounds)
caption = "Every filter of the pooled layer, average pooling (binning 0.5, one seed); ring: end"
chapter.figure("filters_average", figure, caption)

# %%
figure = plotting.filter_planes(pooled[pooled["run"] == "max pooling"], bounds)
chapter.figure("filters_max", figure, caption.replace("average", "max"))

# %% [markdown]
# ## Does anything fall?

# %%
phases = claims.phases(binned, bounds)
phases = phases.assign(falls=phases["drop"] > phases["band"])
keys = ["run", "view", "layer_index", "layer"]
columns = ["start", "peak", "end", "drop", "band", "falls"]
summary = phases.groupby(keys, sort=False)[columns].mean().reset_index()
summary = summary.sort_values(keys[:3], kind="stable").drop(columns="layer_index")
chapter.table(
    "phases",
    summary,
    "Rise and fall of I(X;T) in bits, mean over seeds and filters, and share of falling curves",
)

# %% [markdown]
# ## Claims

# %% tags=["nbval-check-output"]
chosen = whole[whole["run"] == "average pooling"]
verdicts = [claims.pd_3(chosen, bounds, before="layer2.1", after="pool")]
table = chapter.claims(verdicts)
for row in table.itertuples():
    print(f"{row.claim}: {row.verdict}, {row.seeds} seeds")
start = binned[(binned["epoch"] == 0) & (binned["run"] == "average pooling")]
print(start.groupby(["view", "layer"])["I_XT"].mean().round(1).to_string())

# %% [markdown]
# The same rule for the other pooling, bin width and view:

# %%
rows = []
for keys, part in measurements.groupby(["run", "view", "parameter"], sort=False):
    verdict = claims.pd_3(part, bounds, before="layer2.1", after="pool")
    rows.append((*keys, verdict.verdict, verdict.statistic))
columns = ["run", "view", "bin width", "verdict", "statistic"]
by_setting = pd.DataFrame(rows, columns=columns)
chapter.table("by_setting", by_setting, "PD-3 by pooling, view and bin width")

# %%
pd.set_option("display.max_colwidth", None)
table[["claim", "verdict", "statistic"]]

# %% [markdown]
# ## Reading and caveats
#
# - Before pooling the layer has 2,048 values per clip in the laptop profile (32,768 in the paper
#   profile) and sits at its ceiling once trained; the pooled layer has 32. Much of the "big
#   influence" is this: pooling removes dimensions, and with them saturation. Once training has
#   spread the 32 values, the pooled layer climbs to the same ceiling.
# - Per filter the loss is plain: one number cannot tell what a map of values tells.
# - At epoch 0 batch normalisation does nothing yet and deep layers are nearly constant.
# - On GTZAN whole layers before and after average pooling differ by 0.9 bit in the laptop
#   profile (three seeds do not decide it) and by 0.6 bit in the paper profile (decided), averaged
#   over epochs at bin width 0.5. The difference comes from the first epochs; at the end both are at
#   the ceiling. With max pooling it is 0.3 bit in the paper profile. Single filters differ by six
#   to eight bits: the "big influence" depends on the view.
# - The difference is averaged over the recorded epochs, because the claim is about the plane, not
#   about its last point.
#
# The slides print neither the number of filters and blocks nor strides, optimiser, epochs or bin
# width. Here: 16-16-32 filters (8-8-32 in the smoke profile), two blocks per layer, Adam, bin
# widths 0.5 and 1.

# %% [markdown]
# ## Try it


# %% tags=["nbval-ignore-output", "interactive"]
def draw(run, layer, bin_width):
    """All filters of a layer, one seed."""
    part = one_seed[(one_seed["run"] == run) & (one_seed["layer"] == layer)]
    return plotting.filter_planes(part[part["parameter"] == bin_width], bounds)


one_seed = measurements[(measurements["view"] == "filter") & (measurements["seed"] == seed)]
layers = ["conv1", "layer1.1", "pool", "layer2.1", "output"]
explore(draw, run=list(configs), layer=layers, bin_width=sorted(set(one_seed["parameter"])))

# %% [markdown]
# ## Exercises
#
# 1. (easy) Which inequality says that the pooled layer cannot know more about the genre than the
#    maps before it? Can an estimate by binning break it?
# 2. (easy) How many numbers does one clip have before and after pooling in the laptop profile?
# 3. (harder) Max pooling and average pooling both give one number per filter. Which of them can
#    take a value that no unit of the map has, and what does that do to binning at a fixed width?

# %% [markdown] tags=["solution"]
# 1. The data processing inequality. Yes: binning first and pooling afterwards would obey it, but
#    the mean is taken before binning, and the bins of the mean are not unions of cells of the maps.
# 2. 32 filters of 8x8 values are 2,048 numbers, then 32.
# 3. The average. It shrinks the spread of the values, so that more clips share a bin of the same
#    width; the maximum keeps the scale of the units.

# %% tags=["solution"]
print(f"before: {32 * 8 * 8}, after: 32")

# %% [markdown]
# ## Provenance

# %% tags=["nbval-ignore-output"]
chapter.provenance(runs)
