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
# # 12 Superization and continuation (Muşat & Andonie 2022, Table 4)
#
# A pooling lowers the spatial entropy of the saliency maps: signs become fewer, "supersigns"
# (superization). The document sets four layers of VGG16 beside those behind the next pooling and
# finds a continuation: the later layer starts lower, grows in training, and levels off at about the
# height from which the earlier one had set out. Claim MA-8. It shows curves and prints no numbers.
#
# For a pair of layers $b$ (before) and $a$ (after the pooling), epochs $0 \ldots E$:
#
# $$\text{drop} = H_b(0) - H_a(0), \qquad
# \text{difference} = \frac15 \sum_{e=E-4}^{E} H_a(e) - H_b(0)$$
#
# The claim needs a drop, and a difference smaller than a quarter of it.
#
# **You will learn** to ask how large a change must be before "about the same height" says
# something, and what the resolution alone does.
#
# Runtime on two cores: smoke 10 s, laptop 1.5 min (nothing after notebook 10 or 11, which read the
# same run), paper (50,000 images, 60 epochs, full width) needs a GPU and an hour.

# %%
import numpy as np
import pandas as pd

from ibcore import claims, plotting, sweep
from ibcore.estimators import aura_matrix_entropy
from ibcore.experiments import saliency_evolution
from ibcore.notebook import Chapter, explore

# %% tags=["parameters"]
profile = "smoke"
seed = 0

# %%
chapter = Chapter("12_superization_continuation", profile, seed)
configs = chapter.configs(saliency_evolution.Config)
pd.DataFrame({name: vars(config) for name, config in configs.items()})

# %% [markdown]
# ## Training and measuring
#
# After every epoch for other training images (*resample*, as the document does) and for always the
# same ones (*fixed*).

# %% tags=["nbval-ignore-output"]
runs = sweep.run(saliency_evolution, configs, seed=seed)
chapter.data_from(runs)

# %%
config = configs["VGG16"]
how = f"{config.images} training images, {config.replicas} seeds"
by_probe = {probe: part for probe, part in runs.table("entropy").groupby("probe", sort=False)}
entropy = by_probe["resample"]
pairs = {f"{before} to {after}": [before, after] for before, after in claims.PAIRS}
list(pairs)

# %% [markdown]
# ## Table 4
#
# The dotted line is the height from which the earlier layer sets out. If there is continuation, the
# curve of the later layer starts below it and ends on it.

# %%
drawn = pd.concat([entropy[entropy["layer"].isin(pair)].assign(pair=name)
                   for name, pair in pairs.items()])  # fmt: skip
table = claims.continuation(entropy)
heights = table.groupby("pair")["start_before"].mean().to_dict()
ylabel = "aura matrix entropy (no unit)"
figure = plotting.layers_over_epochs(drawn, "entropy", by="pair", ylabel=ylabel, ceilings=heights)
for ax in figure.axes:
    ax.set_xscale("linear")
chapter.figure("pairs", figure, f"Entropy before and after each pooling, mean and spread, {how}")

# %% [markdown]
# ## One image on both sides of each pooling

# %%
maps = runs.table("maps")
maps = maps[maps["row"] == maps["row"].iloc[0]]
picture = maps[maps["layer"] == "picture"]
maps = maps.assign(name="epoch " + maps["epoch"].astype(str))
strips = {
    layer: pd.concat([picture, maps[maps["layer"] == layer].assign(layer=maps["name"])])
    for pair in pairs.values()
    for layer in pair
}
figure = plotting.saliency_strips(strips, every=-(-maps["epoch"].max() // 8))
chapter.figure("strip", figure, "Saliency maps of one training image through training")

# %% [markdown]
# ## Drops and differences
#
# *Drop, shuffled* is the drop of maps whose pixels were put in random places at the layers' own
# sizes. They keep their grey levels, but know nothing of where things are: such a drop comes from
# the resolution.

# %%
null = claims.continuation(entropy.assign(entropy=entropy["baseline"]))
both = table.assign(**{"drop, shuffled": null["drop"]})
columns = ["start_before", "start_after", "level_after", "drop", "drop, shuffled", "difference"]
summary = both.groupby("pair", sort=False)[columns].agg(claims.interval).map("{:.3f}".format)
chapter.table("pairs", summary.reset_index(), f"Mean and 95% interval over seeds, {how}")

# %%
figure, axes = plotting.grid(2, width=4.5, height=2.6)
for ax, column in zip(axes.flat, ("drop", "difference"), strict=True):
    found = both.groupby("pair", sort=False)[column].agg(claims.interval)
    rows = pd.DataFrame([vars(each) for each in found]).assign(pair=found.index)
    plotting.intervals(ax, rows, label="pair", xlabel=f"{column} (no unit)", threshold=0)
chapter.figure("differences", figure, f"Drop and difference of each pair, 95% over seeds, {how}")

# %% [markdown]
# ## Claim

# %% tags=["nbval-check-output"]
found = chapter.claims([claims.ma_8(table)])
for row in found.itertuples():
    print(f"{row.claim}: {row.verdict}, {row.seeds} seeds, {row.data}")
print("first value before:", [f"{heights[pair]:.1f}" for pair in pairs])
print("pairs:", ", ".join(pairs))

# %%
pd.set_option("display.max_colwidth", None)
found[["claim", "verdict", "statistic"]]

# %% [markdown]
# With the same images after every epoch, in place of others each time:

# %%
decided = {probe: claims.ma_8(claims.continuation(part)) for probe, part in by_probe.items()}
rows = [(probe, each.verdict, each.statistic) for probe, each in decided.items()]
chapter.table(
    "by_probe",
    pd.DataFrame(rows, columns=["probe", "verdict", "statistic"]),
    "MA-8 by the choice of images",
)

# %% [markdown]
# ## Reading and caveats
#
# - A drop across a pooling that the shuffled maps have as well is one of resolution: half as many
#   pixels per side, a quarter in all, resized to the same picture, leave smoother maps. Compare the
#   two columns before you call it concentration of information.
# - "About the same height", within a quarter of the drop, asks the later layer to climb by 0.75 to
#   1.25 drops. Where the drop is small that is a small climb within narrow limits, and noise
#   decides whether it comes about. Look at the intervals.
# - A level is the mean of the last five epochs, whether or not the curve has settled. In short
#   trainings it has often not.
# - The pairs take a ReLU and the convolution behind the pooling, so that a pooling and a
#   convolution lie between the two curves. Both explain the same predicted class at any one epoch;
#   between the first epoch and the last ones that class can change, and the images do (*resample*).
# - Layers 3, 5, ... of the document are taken as indices of VGG16's `features`.

# %% [markdown]
# ## Try it


# %% tags=["nbval-ignore-output", "interactive"]
def draw(before, after):
    """Entropy of any two layers, and the height from which the first sets out."""
    figure, axes = plotting.grid(1, width=6)
    part = entropy[entropy["layer"].isin([before, after])]
    height = part[(part["layer"] == before) & (part["epoch"] == 0)]["entropy"].mean()
    plotting.over_epochs(axes[0, 0], part, "entropy", hue="layer", ylabel=ylabel, ceiling=height)
    return figure


layers = list(dict.fromkeys(entropy.dropna(subset="entropy")["layer"]))
explore(draw, before=layers[:-1], after=layers[1:])

# %% [markdown]
# ## Exercises
#
# 1. (easy) Noise of two grey levels has relative entropy 1. Every pixel is now doubled in both
#    directions. What is its entropy, by hand?
# 2. (harder) Check it with the estimator, for two and for 256 levels. Why do they differ?
# 3. (harder) Which pairs of neighbouring layers *without* a pooling between them meet the claim's
#    second condition? What does that say about the first?

# %% [markdown] tags=["solution"]
# 1. Half of the neighbours are the same pixel. Of the four pairs of levels the two equal ones have
#    probability $3/8$, the others $1/8$: $H(k,l) = 1.811$ bits, $H(0) = 1$, so $0.811$.
# 2. With 256 levels half of the neighbours are the same pixel, too, but of the others hardly any
#    have equal levels: $H(k,l) = 12.98$ of 16 bits, so $0.623$ even on an endless plane. This one
#    has too few pixels for $256^2$ pairs of levels, which takes another 0.05.
# 3. See below (pairs by their earlier layer). Without a drop none can: the second condition
#    contains the first. With one, the later layer has to climb by 0.75 to 1.25 drops, so the larger
#    the drop, the larger the climb; a small drop and a small climb can be noise.

# %% tags=["solution"]
rng = np.random.default_rng(0)
for levels in (2, 256):
    noise = rng.integers(0, levels, (1, 256, 256), dtype=np.uint8)
    doubled = noise.repeat(2, axis=1).repeat(2, axis=2)
    both = (aura_matrix_entropy(each, levels=levels)[0] for each in (noise, doubled))
    equal, other = (1 + 1 / levels) / (2 * levels), 1 / (2 * levels**2)
    pair = -levels * (equal * np.log2(equal) + (levels - 1) * other * np.log2(other))
    print(f"{levels} levels: " + ", doubled ".join(f"{value:.3f}" for value in both), end="")
    print(f", by hand {pair / np.log2(levels) - 1:.3f}")
curves = entropy.pivot_table(index="epoch", columns="layer", values="entropy", sort=False)
start, level = curves.iloc[0], curves.iloc[-5:].mean()
drop, difference = start - start.shift(-1), level.shift(-1) - start
pooled = drop.index.isin([before for before, _ in claims.PAIRS])
print("meet:", *drop.index[~pooled & (difference.abs() < claims.MEETS * drop)])

# %% [markdown]
# ## Provenance

# %% tags=["nbval-ignore-output"]
chapter.provenance(runs)
