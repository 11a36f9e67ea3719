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
# # 09 Spatial entropy of saliency maps through depth (thesis, tables 2.1-2.3)
#
# Muşat's thesis makes a Grad-CAM map of every layer of AlexNet, VGG16 and ResNet50, measures its
# spatial entropy, and finds that it falls with depth, at poolings rather than at convolutions
# ("superization"). Claims MT-1 and MT-2. No program was published: the numbers of the columns with
# random weights, which anybody can draw again, tell how the maps must have been made.
#
# $$M = \mathrm{ReLU}\Big(\sum_c w_c A_c\Big), \quad w_c = \frac{1}{hw}\sum_{ij}
# \frac{\partial z_t}{\partial A_{cij}}, \qquad
# H_{AME} = \frac14 \sum_{(k,l)} \frac{H(k,l) - H(0)}{H(0)} \qquad\text{(Eqs. 1.2-1.6)}$$
#
# $H(k,l)$ is the entropy of a pixel of the integer map together with its neighbour at $(k,l)$, one
# of four; $H(0)$ is that of a pixel alone. The result has no unit.
#
# **You will learn** to read a saliency map and its entropy, and to ask of a falling curve what a
# null model does.
#
# Runtime on two cores: smoke 10 s, laptop 1 min, paper (all pictures, 10 initialisations) needs a
# GPU and an hour.

# %%
import pandas as pd

from ibcore import claims, plotting, sweep
from ibcore.experiments import entropy_by_depth
from ibcore.notebook import Chapter

# %% tags=["parameters"]
profile = "smoke"
seed = 0

# %%
chapter = Chapter("09_entropy_by_depth", profile, seed)
configs = chapter.configs(entropy_by_depth.Config)
missing = {name: entropy_by_depth.missing_weights(config) for name, config in configs.items()}
configs = {name: config for name, config in configs.items() if not missing[name]}
pd.DataFrame({name: vars(config) for name, config in configs.items()}).drop("readings")

# %% [markdown]
# ## Measuring
#
# Trained weights are those of torchvision, from a folder named by `IBCORE_DATA` or from the net.
# Columns without weights are not run. The LeNet-5-like network is trained here.

# %% tags=["nbval-ignore-output"]
runs = sweep.run(entropy_by_depth, configs, seed=seed)
pd.Series({name: why for name, why in missing.items() if why}, name="not run", dtype=object)

# %%
settings = pd.DataFrame(
    [{"run": name, **entropy_by_depth.describe(config)} for name, config in configs.items()]
)
entropies, readings = runs.table("entropies"), runs.table("readings").merge(settings, on="run")
units = claims.by_unit(entropies)
intervals = claims.entropy_intervals(units).merge(settings, on="run")
shuffled = claims.shuffled_baseline(readings)
how = "Grad-CAM maps, truncated to 256 levels, then resized to the input with Lanczos"
settings.assign(data=settings["run"].map(runs.labels))

# %% [markdown]
# ## One picture through the layers

# %%
maps = runs.table("maps").merge(settings, on="run")
shown = maps[maps["network"].isin(["AlexNet", "SqueezeNet 1.1"])]
chapter.data_from(runs.select(shown["run"].unique()))
figure = plotting.saliency_strips(dict(list(shown.groupby("run", sort=False))))
chapter.figure("strip", figure, "Saliency maps of one picture through the layers; map sizes below")

# %% [markdown]
# ## Entropy against depth
#
# The grey dashed line is a null model: the pixels of every map are shuffled at the layer's own
# resolution, then resized like the map. It knows nothing of the picture or the network; whatever it
# does is done by the resolution alone. Crosses are the thesis' numbers.

# %%
chapter.data_from(runs)
table = intervals.assign(setting=intervals["weights"])
null = claims.entropy_intervals(shuffled).merge(settings, on="run")
published = claims.published_entropies()
published = published.merge(settings[["network", "column", "weights"]].drop_duplicates())
figure = plotting.entropy_through_depth(
    table, null, published.rename(columns={"weights": "setting"})
)
chapter.figure(
    "depth", figure, f"Aura matrix entropy with 95% intervals over seeds or pictures. {how}"
)

# %% [markdown]
# ## The thesis' tables
#
# Layers of VGG16 are named in the thesis in a way that fits no numbering of its 13 convolutions
# ("conv14"); they are matched by the resolution at which their entropies lie.

# %%
thesis = settings[settings["network"].isin(["AlexNet", "VGG16", "ResNet50"])]
chapter.data_from(runs.select(thesis["run"]))
beside = claims.beside_published(intervals)
chapter.table("thesis", beside, "Thesis tables 2.1-2.3 beside this run, with 95% intervals")

# %% [markdown]
# ## Which reading of the text is it?
#
# Ten ways to make the integer maps, by their mean distance to the published random columns. Each
# differs from the documents' in one thing.

# %%
distances = claims.reading_distances(readings)
chapter.table(
    "readings", distances, "Mean absolute distance to the published columns with random weights"
)

# %%
figure, axes = plotting.grid(1, width=6, height=4)
rows = distances.rename(columns={"all": "mean"})
plotting.intervals(axes[0, 0], rows, label="reading", xlabel="mean |ours - published| (no unit)")
chapter.figure("readings", figure, "Distance of each reading to the published random columns")

# %% [markdown]
# ## What the steps are made of
#
# Mean change of entropy from one layer to the next, by what the next layer does to its input, for
# the maps and for the maps with shuffled pixels.

# %%
chapter.data_from(runs)
kinds = pd.concat(
    {
        name: claims.depth_steps(part).groupby("run", sort=False).mean(numeric_only=True)
        for name, part in (("maps", units), ("pixels shuffled", shuffled))
    }
)
kinds = kinds.drop(columns="unit").rename_axis(["of", "run"]).reset_index()
chapter.table("steps", kinds, "Mean step of the entropy into layers of each kind")

# %% [markdown]
# ## Maps that show nothing, and a check of the weights

# %%
counts = readings[readings["reading"] == "documents"]
counts = counts.groupby(["run", "layer"], sort=False)[["images", "degenerate"]].sum()
counts = counts.groupby("run", sort=False).agg(
    maps=("images", "sum"), degenerate=("degenerate", "sum")
)
accuracy = runs.table("accuracy").groupby("run", sort=False)["accuracy"].mean()
checks = counts.join(accuracy).reset_index()
chapter.table(
    "checks", checks, "Constant maps (left out above), and accuracy where the labels are known"
)

# %% [markdown]
# ## Claims

# %% tags=["nbval-check-output"]
verdicts = []
for weights in ("random", "pretrained", "fine-tuned"):
    chosen = settings[(settings["weights"] == weights) & ~settings["network"].str.contains("LeNet")]
    if chosen.empty:
        continue
    parts = [table[table["run"].isin(chosen["run"])] for table in (units, shuffled)]
    found = [claims.mt_1(*parts), claims.mt_2(*parts)]
    verdicts += chapter.named(found, runs.select(chosen["run"]))
table = chapter.claims(verdicts)
for row in table.itertuples():
    print(f"{row.claim}: {row.verdict}, {row.seeds} seeds")
distance = distances.set_index("reading")["all"]
print("Lanczos nearer to the thesis than bilinear:", distance["documents"] < distance["bilinear"])
alexnet = intervals[intervals["run"] == "AlexNet, random"].set_index("layer")["mean"]
print(alexnet[["features.0", "features.2", "features.12"]].round(1).to_dict())

# %%
pd.set_option("display.max_colwidth", None)
table[["claim", "verdict", "statistic", "data"]]
