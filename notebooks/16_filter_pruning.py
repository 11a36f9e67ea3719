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
# # 16 Pruning filters by information (Muşat thesis, tables 3.4 to 3.6)
#
# Which filters of a trained network can go? HRel (Sarvani et al. 2022) keeps those whose maps tell
# most about the label, by the matrix-based Rényi information; the thesis replaces this by the
# spatial entropy of the maps and finds the same accuracy in a day instead of a week. Does it,
# and does either beat the plain size of the weights, or chance? Claims MT-9, MT-10.
#
# $$\text{HRel:}\quad S_\alpha(T_f) + S_\alpha(Y) - S_\alpha(T_f, Y), \qquad
#   \text{thesis:}\quad I(X,Y) = H(X) - H(X,Y) \quad\text{(Eq. 3.2)}$$
#
# with $H$ the aura matrix entropy, relative to a single pixel, of a filter's maps $X$ and of the
# map together with the label. The thesis sets $H(Y) = 0$.
#
# **You will learn** how a score of filters is judged: not by being plausible, but against controls
# at equal filter counts, from the same trained network.
#
# Runtime on two cores: smoke 10 s, laptop 45 s (networks at an eighth or a quarter of their width,
# ResNet20 in place of ResNet56 and ResNet110, 1,000 images), paper days on a GPU.

# %%
import pandas as pd

from ibcore import claims, plotting, sweep
from ibcore.experiments import filter_pruning
from ibcore.notebook import Chapter, explore

# %% tags=["parameters"]
profile = "smoke"
seed = 0

# %%
chapter = Chapter("16_filter_pruning", profile, seed)
configs = chapter.configs(filter_pruning.Config)
pd.DataFrame({name: vars(config) for name, config in configs.items()})

# %% [markdown]
# ## Training, scoring, pruning
#
# Every network is trained once per seed; all scores start from it. A round scores the filters,
# removes the lowest ones of every layer for good (with everything that depends on them) and
# trains again.

# %% tags=["nbval-ignore-output"]
runs = sweep.run(filter_pruning, configs, seed=seed)
chapter.data_from(runs)

# %%
networks, scores = runs.table("networks"), runs.table("scores")
timings = runs.table("timings")
first = next(iter(configs.values()))
how = f"mean of {first.replicas} seeds, accuracy of the last epoch"
trained = networks[networks["round"] == 0]
trained.groupby("run", sort=False)[["parameters", "macs", "accuracy"]].mean().round(3)

# %% [markdown]
# ## The published tables, and ours
#
# The public code reports the best *test* epoch, which is optimistic: it chooses on the data that
# it reports. Here the last epoch counts, the best one stands beside it.

# %%
table = claims.pruning_beside_published(networks)
chapter.table("published", table, "Accuracy in per cent, published and ours, last epoch")

# %%
figure = plotting.pruned_accuracy(networks)
chapter.figure("accuracy", figure, f"Accuracy after each round of pruning, {how}, with spread")

# %% [markdown]
# ## What is saved
#
# Removed filters are gone, not masked: the network has fewer weights and multiplications. Whether
# it is also faster depends on the machine.

# %% tags=["nbval-ignore-output"]
columns = ["parameters", "macs", "latency"]
last = claims.last_round(networks)
keys = ["run", "configuration", "score"]
saved = last.groupby(keys, sort=False)[[*columns, "scoring_seconds"]].mean().reset_index()
chapter.table("saved", saved, "Cost of the networks; seconds for 100 images and per scoring")

# %% [markdown]
# ## How far do the scores agree?
#
# Spearman correlation over the filters of a layer, on the trained network. *Plug-in* is the same
# information in bits, $H(XX') + H(Y) - H(XX'Y)$ for pairs of neighbouring pixels, without relative
# entropies. In bits $H(Y) = 0$ shifts all filters alike and changes no ranking. The relative
# entropies do: each is divided by the entropy of a single pixel.

# %%
agreement = claims.score_agreement(scores)
pairs = agreement[~agreement["second"].isin(["random"])]
figure = plotting.agreement_through_depth(pairs)
chapter.figure("agreement", figure, f"Rank correlation of scores per layer, {how}, with spread")

# %%
keys = ["run", "first", "second"]
summary = agreement.groupby(keys, sort=False)["correlation"].agg(["mean", "min", "max"])
chapter.table("agreement", summary.reset_index(), "Rank correlation over layers and seeds")

# %% [markdown]
# ## Do they beat magnitude and chance?
#
# Differences of final accuracy, paired by seed, in percentage points.

# %%
rows = []
for score in ("HRel", "spatial entropy"):
    for control in ("magnitude", "random"):
        paired = claims.paired_accuracy(networks, score, control)
        for run, part in paired.groupby("run", sort=False):
            found = claims.interval(100 * part.groupby("seed")["difference"].mean())
            row = {"comparison": f"{run}: {score} - {control}", "mean": found.mean}
            rows.append({**row, "low": found.low, "high": found.high})
controls = pd.DataFrame(rows)
chapter.table("controls", controls, "Paired differences of accuracy, percentage points")

# %%
figure, axes = plotting.grid(1, width=6)
plotting.intervals(
    axes[0, 0], controls, label="comparison", xlabel="difference [percentage points]", threshold=0
)
chapter.figure("controls", figure, "Scores against controls at equal filter counts, 95% intervals")

# %% [markdown]
# ## Claims

# %% tags=["nbval-check-output"]
verdicts = [claims.mt_9(networks), claims.mt_10(timings)]
table = chapter.claims(verdicts)
for row in table[table["claim"] == "MT-9"].itertuples():
    print(f"{row.claim}: {row.verdict}, {row.seeds} seeds")
means = scores.groupby(["run", "score"], sort=False)["value"].mean().round(2).unstack()
print(means.drop(columns="random").to_string())
print(last.groupby("run", sort=False)[["parameters", "macs"]].first().to_string())

# %% tags=["nbval-ignore-output"]
pd.set_option("display.max_colwidth", None)
table[["claim", "verdict", "statistic", "data"]]

# %% [markdown]
# ## Reading and caveats
#
# - HRel measures a filter with the kernel width of its whole layer. One map is much smaller than
#   the layer, its kernel is nearly constant, and the scores are thousandths of a bit: ranks of
#   small numbers.
# - Spatial entropy is counted over 100 images and 256 grey levels. In deep layers with small maps
#   nearly every pair of pixels occurs once, so that it tells the image and with it the label:
#   the plug-in information is close to $H(Y)$ for every filter that is alive. With 8 levels there
#   is less of this.
# - The ratio of times is against HRel as computed here, all filters of a layer at once, which is
#   several times faster than one filter after the other. HRel also looks at all images in the
#   documents, spatial entropy at 100: the larger part of "a week against a day".
# - After retraining, accuracy depends little on which filters were kept when the network is
#   trained for long enough: an interval that contains 0 against *random* is a result, too.
#
# Departures. HRel's program masks filters and leaves them in the network; here they are removed. In
# a residual network the channels of a stage are shared by all its blocks, so that they are scored
# together (the mean) and removed together, the first convolution included, which the thesis leaves
# as it is. The kernel widths are found on the trained network and then stay. The document does not
# say what the label map is: the only reading that is not 0 for every filter takes it as constant
# over an image and counts pixel pairs over images; then $H(Y) = 0$ holds for its relative entropy.

# %% [markdown]
# ## Try it


# %% tags=["nbval-ignore-output", "interactive"]
def draw(run, layer):
    """Scores of the filters of one layer against each other, first seed."""
    part = scores[(scores["run"] == run) & (scores["layer_index"] == layer)]
    part = part[part["seed"] == seed].pivot(index="filter", columns="score", values="value")
    figure, axes = plotting.grid(2)
    for ax, other in zip(axes.flat, ("HRel", "magnitude"), strict=True):
        ax.scatter(part["spatial entropy"], part[other], s=12)
        ax.set(xlabel="spatial entropy (no unit)", ylabel=other, title=f"{run}, layer {layer}")
    return figure


explore(draw, run=list(configs), layer=list(range(6)))

# %% [markdown]
# ## Exercises
#
# 1. (easy) A filter is 0 on every image. What do the three information scores say, and what does
#    its magnitude say?
# 2. (easy) Why does the best test epoch exceed the last epoch on average, even if nothing more is
#    learnt?
# 3. (harder) A filter shows one fixed picture for class 1 and its mirror image for all others. Does
#    HRel notice, does spatial entropy?

# %% [markdown] tags=["solution"]
# 1. All three are 0: nothing is told. The magnitude can be large, because what it multiplies, or
#    the activation after it, may be 0.
# 2. It is the largest of several noisy numbers.
# 3. HRel does if the pictures are far apart as vectors. Pairs of pixels are counted without their
#    places: the pairs within columns are the same, those within rows are turned around. Only a
#    picture with as many pairs (a, b) as (b, a) goes unnoticed.

# %% tags=["solution"]
best = last["best_test_epoch"] - last["accuracy"]
print(f"best epoch minus last: {100 * best.mean():.1f} percentage points on average")

# %% [markdown]
# ## Provenance

# %% tags=["nbval-ignore-output"]
chapter.provenance(runs)
