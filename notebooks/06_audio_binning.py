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
# # 06 Music, binned: whole layers and single filters (Padova slides)
#
# A small convolutional network tells genres of music apart by their mel spectrograms. The slides
# bin its layers and read off: tanh layers compress, ReLU layers do not; training on the full batch
# compresses too; single filters have paths of their own. Claims PD-1, PD-2, PD-4.
#
# **The network**: four blocks of convolution, activation and batch normalisation with 4, 8, 16 and
# 32 filters, average pooling, one linear layer. **The measurement**, on the training clips, of each
# activation as a whole and of every single filter:
#
# $$I(X;T) = H(T) = -\sum_i p_i \log_2 p_i, \qquad I(T;Y) = H(T) - \sum_c p_c\,H(T|Y=c)$$
#
# **You will learn** why the same layer is saturated as a whole and full of life filter by filter,
# and how the bin width and the view decide what an estimate can answer.
#
# Runtime on two cores: smoke 20 s, laptop 1 min, paper (128x128 spectrograms, 100 epochs, full
# batch 2,000; two of its runs are those of notebook 08) about 4 h of CPU with GTZAN (FMA-small has
# eight times as many clips).

# %%
import pandas as pd

from ibcore import claims, plotting, sweep
from ibcore.experiments import information_plane
from ibcore.notebook import Chapter, explore

# %% tags=["parameters"]
profile = "smoke"
seed = 0

# %%
chapter = Chapter("06_audio_binning", profile, seed)
configs = chapter.configs(information_plane.Config)
pd.DataFrame({name: vars(config) for name, config in configs.items()})

# %% [markdown]
# ## Training and measuring
#
# The runs `tanh` and `ReLU` are measured by all three estimators of the slides at once; notebook 08
# reads them from the run store.

# %% tags=["nbval-ignore-output"]
runs = sweep.run(information_plane, configs, seed=seed)
chapter.data_from(runs)

# %% [markdown]
# ## What the network sees
#
# One training clip of each genre. Each value is the level of a mel band in a time step, from 0 to
# 1: the range of the clip in decibel.

# %%
clips = information_plane.load(configs["tanh"])
genres = pd.Series(clips.Y[: clips.n_train])
first = genres.drop_duplicates().sort_values()
titles = [clips.classes[i] for i in first]
pictures = clips.X[first.index, 0]
figure = plotting.spectrograms(pictures, titles, columns=-(-len(titles) // 2))
chapter.figure("spectrograms", figure, "One log-mel spectrogram of each genre")

# %%
names = dict(enumerate(clips.classes))
counts = {"train": genres, "test": pd.Series(clips.Y[clips.n_train :])}
table = pd.DataFrame({part: labels.map(names).value_counts() for part, labels in counts.items()})
table = table.rename_axis("genre").reset_index()
chapter.table("clips", table, "Clips of each genre")

# %% [markdown]
# ## Information planes of whole layers, with loss and accuracy

# %%
measurements, history = runs.table("measurements"), runs.table("history")
bounds = runs.table("bounds")
measurements["layer"] = measurements["layer"].str.removesuffix(".activation")
every_width = measurements[measurements["estimator"] == "binning"]
binned = every_width[every_width["parameter"] == 0.5]
whole, filters = (binned[binned["view"] == view] for view in ("whole", "filter"))
how = f"binning 0.5, {clips.n_train} training clips, {configs['tanh'].replicas} seeds"

# %%
figure = plotting.planes_and_training(whole, history, bounds)
chapter.figure("planes", figure, f"Whole layers ({how}), with loss and accuracy")

# %%
hidden = whole[whole["layer"].str.startswith("conv")]
ceilings = bounds.groupby("run")["ceiling_X"].first().to_dict()
figure = plotting.layers_over_epochs(
    hidden, "I_XT", ylabel=plotting.INFORMATION["I_XT"], ceilings=ceilings
)
chapter.figure("i_xt", figure, f"I(X;T) of whole layers, {how}, mean and spread")

# %% [markdown]
# ## Every single filter
#
# A filter's map has far fewer values than the layer, so that clips share cells and the estimate can
# move. One seed only: filters of different seeds cannot be matched.


# %%
def planes_of_filters(run, layer):
    """Small planes of all filters of a layer."""
    part = filters[(filters["run"] == run) & (filters["layer"] == layer)]
    figure = plotting.filter_planes(part[part["seed"] == seed], bounds)
    name = f"filters_{layer}_{run.replace(', ', '_').replace(' ', '_')}"
    caption = f"Filters of {layer}, {run}, one by one (binning 0.5, one seed); ring: last epoch"
    return chapter.figure(name, figure, caption)


planes_of_filters("tanh", "conv4")

# %%
planes_of_filters("ReLU", "conv4")

# %%
planes_of_filters("tanh, full batch", "conv2")

# %%
one = filters[(filters["seed"] == seed) & filters["layer"].str.startswith("conv")]
how_drawn = {"ylabel": plotting.INFORMATION["I_XT"], "ceiling": ceilings["tanh"]}
figure = plotting.filters_over_epochs(one[one["run"] == "tanh"], "I_XT", **how_drawn)
chapter.figure("filters_tanh", figure, "I(X;T) of every filter, tanh (binning 0.5, one seed)")

# %%
figure = plotting.filters_over_epochs(one[one["run"] == "ReLU"], "I_XT", **how_drawn)
chapter.figure("filters_relu", figure, "I(X;T) of every filter, ReLU (binning 0.5, one seed)")

# %% [markdown]
# ## How far does $I(X;T)$ fall?
#
# The *drop* is the peak of the running median of a curve minus its end; it counts beyond the
# curve's noise band (at least 0.05 bit). A layer whose curves end at the ceiling cannot be judged:
# whether it falls from there is hidden.

# %%
phases = claims.phases(every_width, bounds)
phases = phases[phases["layer"].str.startswith("conv")]
at_half = phases[phases["parameter"] == 0.5]
at_half = at_half.assign(falls=at_half["drop"] > at_half["band"])
columns = ["start", "peak", "end", "drop", "band", "falls"]
by_layer = ["run", "view", "layer_index", "layer"]
summary = at_half.groupby(by_layer, sort=False)[columns].mean().reset_index()
summary = summary.sort_values(by_layer[1:3], kind="stable").drop(columns="layer_index")
chapter.table(
    "phases",
    summary,
    "Rise and fall of I(X;T) in bits, mean over seeds and filters, and share of falling curves "
    "(binning 0.5)",
)

# %% [markdown]
# ## Claims

# %% tags=["nbval-check-output"]
by_view = dict(list(at_half.groupby(["view", "run"])))
verdicts = [
    claims.pd_1(by_view["whole", "tanh"], by_view["whole", "ReLU"]),
    claims.pd_2(by_view["whole", "tanh"], by_view["whole", "tanh, full batch"]),
    claims.pd_4(by_view["whole", "tanh"], by_view["filter", "tanh"]),
]
table = chapter.claims(verdicts)
for row in table.itertuples():
    print(f"{row.claim}: {row.verdict}, {row.seeds} seeds")
start = binned[(binned["epoch"] == 0) & binned["layer"].isin(["conv1", "conv4"])]
print(start.groupby(["run", "view", "layer"])["I_XT"].mean().round(1).to_string())

# %% [markdown]
# What would have been said with another bin width, or of the average filter in place of the whole
# layer?

# %%
rows = []
for (view, width), part in phases.groupby(["view", "parameter"], sort=False):
    runs_of = dict(list(part.groupby("run")))
    for verdict in (
        claims.pd_1(runs_of["tanh"], runs_of["ReLU"]),
        claims.pd_2(runs_of["tanh"], runs_of["tanh, full batch"]),
    ):
        rows.append((view, width, verdict.claim, verdict.verdict, verdict.statistic))
columns = ["view", "bin width", "claim", "verdict", "statistic"]
by_setting = pd.DataFrame(rows, columns=columns)
chapter.table("by_setting", by_setting, "PD-1 and PD-2 by view and bin width")

# %%
pd.set_option("display.max_colwidth", None)
table[["claim", "verdict", "statistic"]]

# %% [markdown]
# ## Reading and caveats
#
# - Whole layers have hundreds of values per clip and more. After a few epochs nearly every clip has
#   a cell of its own in nearly every layer, and $I(X;T)$ stays at its ceiling: with tanh, whose
#   values are bounded, as with ReLU, whose are not. It is a statement about bins. In the laptop
#   profile (bin width 0.5) only two first layers do not end there: that of ReLU stays near 6 of 9.6
#   bits, and that of tanh under full batches ends at 9.5 bits (mean over seeds).
# - Layers that end at the ceiling in all seeds are left out because they *cannot* answer, and
#   those that end there in some seeds can show a fall, but not that there is none. Where no
#   convolution of a network can answer, PD-2 is *uninformative*, and so is PD-1, unless its other
#   part is contradicted. Where only layers remain that end at the ceiling in some
#   seeds, a verdict can be "falls" and never "does not fall"; the count of judged layers is part of
#   the statistic.
# - On GTZAN (laptop profile) the average filter falls with ReLU at both bin widths. With tanh it
#   falls by about as much, but so unequally from seed to seed that both widths leave it open; under
#   full batches it falls at width 1, and width 0.5 leaves it open. The paper profile, with five
#   seeds, spectrograms of full size and 2,000 steps under full batches, says so more clearly: the
#   average filter falls with ReLU at both widths, with tanh by 0.42 [0.32, 0.52] bit at width 1
#   (open at 0.5), under full batches at both widths. So full batches compress, as PD-2 says of
#   whole layers; the contrast of PD-1 is not there.
# - Of what the slides leave open, bin width and view were varied (table above), and the estimator
#   on the same networks (notebook 08: in the paper profile KDE, too, sees pooled ReLU layers fall;
#   the laptop profile leaves it open). None of them brings the contrast back. Optimiser and
#   learning rate were not varied.
# - Single filters move, each in its own way. That some of them fall is no proof that the layer
#   loses information: what one filter drops another may hold. Nor is every fall one: a flat curve
#   with independent noise ends beyond its noise band in about one case of five (more often where
#   the noise lasts from one snapshot to the next), so that PD-4 asks for a larger share of falling
#   filters than that.
# - At epoch 0 batch normalisation does nothing yet (running mean 0, variance 1): the deep layers of
#   an untrained network are nearly constant, and the first rise is mostly normalisation setting
#   in. With full batches the running statistics follow with a delay of some ten epochs.
# - An epoch of full-batch training is one step; it is given more epochs for that.
# - $I(T;Y)$ of the training clips includes what the network has memorised; see the gap between the
#   accuracies.
#
# The slides do not print optimiser, learning rate, epochs, kernel sizes, strides, the size of the
# spectrograms or the bin width. Here: Adam, 3x3 kernels with stride 2, bin widths 0.5 and 1, layers
# measured at the activation (before batch normalisation), where tanh is bounded. The slides' page
# about the network says "from 8 to 32 filters", a later one counts 4, 8, 16 and 32 feature maps:
# here the latter. The laptop profile averages the spectrograms to 32x32.

# %% [markdown]
# ## Try it
#
# One filter after the other, from the stored runs (a still picture where no kernel runs).


# %% tags=["nbval-ignore-output", "interactive"]
def draw(run, layer, bin_width):
    """All filters of a layer, one seed."""
    part = one_seed[(one_seed["run"] == run) & (one_seed["layer"] == layer)]
    return plotting.filter_planes(part[part["parameter"] == bin_width], bounds)


one_seed = every_width[(every_width["view"] == "filter") & (every_width["seed"] == seed)]
layers = ["conv1", "conv2", "conv3", "conv4"]
explore(draw, run=list(configs), layer=layers, bin_width=sorted(set(one_seed["parameter"])))

# %% [markdown]
# ## Exercises
#
# 1. (easy) A tanh filter with a 2x2 map is cut into bins of width 0.5. How many cells are there,
#    and how does this compare with the number of clips?
# 2. (easy) Why does a constant filter have $I(T;Y) = 0$?
# 3. (harder) Give the ReLU run bins of width 0.5 but multiply all its activations by 10. What
#    happens to $I(X;T)$, and does the network know more?
# 4. (harder) Add `{"estimator": "binning", "bin_width": 0.5, "view": "pooled"}` to the `estimators`
#    of the configurations (`dataclasses.replace`), before the runs. Which layers leave saturation,
#    and what is lost by looking at means only?

# %% [markdown] tags=["solution"]
# 1. Four bins per value, $4^4 = 256$ cells (a value of exactly 1 has a fifth bin): fewer than the
#    799 clips of the laptop profile, so that clips must share cells there; the 50 of the smoke
#    profile need not.
# 2. It has one cell, $H(T) = 0$, and $I(T;Y) \le H(T)$.
# 3. It rises, up to $\log_2 n$, because the bins become finer relative to the layer. The function
#    computed by the network, after a tenth of the next weights, is the same.
# 4. The early layers: their mean over the map has 4 or 8 numbers. Lost is where in time and
#    frequency something happens.

# %% tags=["solution"]
print(f"cells: {4**4}, clips: {clips.n_train}")

# %% [markdown]
# ## Provenance

# %% tags=["nbval-ignore-output"]
chapter.provenance(runs)
