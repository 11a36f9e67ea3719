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
# # 15 Pruning that is rewarded for low entropy (thesis, tables 3.1-3.3)
#
# AMC (He et al. 2018) lets an agent choose, layer by layer, how many channels of a trained network
# stay; a budget for the multiply-accumulates ("FLOPs") cuts what it wants, the weights that remain
# are refitted, and the reward is the accuracy on held-out images. Muşat's thesis rewards low
# spatial entropy of the convolutions' outputs instead, never looks at a label during the search,
# and reports the same accuracy after fine-tuning. Claims MT-6 to MT-8.
#
# $$R_\text{acc} = \text{accuracy}, \qquad R_\text{min} = 1 - \bar H_{AME}, \qquad
# R_\text{max} = \bar H_{AME} \qquad\text{(section 3.1.2)}$$
#
# $\bar H_{AME}$ is the aura matrix entropy (see 09), averaged over the maps of each convolution and
# then over the convolutions.
#
# **You will learn** to ask of a search what no search at all would have found: every result stands
# beside uniform pruning and random policies of the same cost.
#
# Runtime on two cores: smoke 15 s, laptop 1 min (a narrow VGG11); paper (800 episodes, 200 epochs,
# three networks, three seeds) needs a GPU for days.

# %%
import pandas as pd
import torch

from ibcore import claims, models, plotting, sweep
from ibcore.experiments import amc
from ibcore.notebook import Chapter, explore
from ibcore.pruning import Policy, apply_policy
from ibcore.pruning.surgery import count_macs

# %% tags=["parameters"]
profile = "smoke"
seed = 0

# %%
chapter = Chapter("15_amc_entropy", profile, seed)
configs = chapter.configs(amc.Config)
pd.DataFrame({name: vars(config) for name, config in configs.items()})

# %% [markdown]
# ## Training, searching, fine-tuning
#
# A search with each reward, and two controls that do not learn: *uniform* keeps the same share of
# channels everywhere, *random* is a random policy. Both use up the budget. *Best random* is the
# best of as many random policies as a search has episodes, by accuracy or by entropy.

# %% tags=["nbval-ignore-output"]
runs = sweep.run(amc, configs, seed=seed)
chapter.data_from(runs)

# %%
networks, episodes = runs.table("networks"), runs.table("episodes")
first = next(iter(configs.values()))
seeds = networks["seed"].nunique()
stands_in = networks.drop_duplicates("network").set_index("network")["model"]
model = ", ".join(stands_in.unique())
how = f"{model}; {first.episodes} episodes, {seeds} seeds, {first.fine_tuning_epochs} epochs"
networks[["network", "model"]].drop_duplicates()

# %% [markdown]
# ## What the searches do
#
# Titles name the *model*; for which network of the thesis it stands is in the table above. Until
# the dotted line the agent's actions are random, the same ones for every reward. Behind it a search
# that works moves what it is rewarded for: accuracy up, or entropy down, or up, away from the grey
# curve of the random policies.

# %%
warmup = {stands_in[config.network]: config.agent["warmup"] for config in configs.values()}
drawn = episodes.assign(network=episodes["network"].map(stands_in))
figure = plotting.search_curves(drawn, warmup)
caption = "Candidates before fine-tuning, mean over seeds and 5 episodes"
chapter.figure("search", figure, caption)

# %%
kept = claims.kept_channels(networks)
kept["network"] = kept["network"].map(stands_in)
methods = [*first.rewards, "uniform"]
figure = plotting.channels_kept(kept[kept["method"].isin(methods)])
caption = "Share of channels kept by the best policy, mean over seeds"
chapter.figure("channels", figure, caption)

# %% [markdown]
# ## Cost and accuracy
#
# Accuracies on the test images in percent: *pruned* before, *mean* after fine-tuning. Latency is
# that of 100 images, measured on this machine, so it differs from run to run.

# %% tags=["nbval-ignore-output"]
summary = claims.amc_summary(networks)
chapter.table("networks", summary, f"Pruned networks, {how} of fine-tuning")

# %%
pruned = summary[summary["method"] != amc.FULL]
panels = list(pruned.groupby(["network", "share"], sort=False))
figure, axes = plotting.grid(1, rows=len(panels), width=6, height=2.6)
for ax, ((network, share), part) in zip(axes.flat, panels, strict=True):
    full = summary[(summary["network"] == network) & (summary["method"] == amc.FULL)]
    plotting.intervals(
        ax, part, label="method", xlabel="test accuracy [%]", threshold=full["mean"].item()
    )
    ax.set_title(f"{stands_in[network]}, at most {share:.0%} of the FLOPs")
caption = f"Test accuracy after fine-tuning, 95% over seeds; dotted: not pruned; {how}"
chapter.figure("accuracy", figure, caption)

# %% [markdown]
# ## The thesis' tables
#
# Published accuracies belong to the networks named in the first column, ours to the *model* that
# stands in their place. The thesis has one run of each, and no latency.

# %% tags=["nbval-ignore-output"]
beside = claims.amc_beside_published(networks)
chapter.table("thesis", beside, f"Thesis tables 3.1-3.3 beside this run, {how} of fine-tuning")

# %% [markdown]
# ## Does the search earn its keep?
#
# Differences in percentage points of test accuracy after fine-tuning, seed by seed. The last two
# rows of a panel compare a search with the best of equally many random policies, chosen by what
# the search was rewarded for.

# %%
controls = claims.amc_controls(networks)
chapter.table("controls", controls, "Gain of a search over pruning without one, in points")

# %% [markdown]
# ## Do the two rewards agree?
#
# If low entropy stands for accuracy, policies with low entropy have to be the accurate ones:
# Spearman's correlation of accuracy and $1 - \bar H_{AME}$ over the distinct policies that were
# visited. Those of the random search are the fair sample; a search visits what it likes.

# %%
figure = plotting.reward_scatter(drawn)
chapter.figure("rewards", figure, "All visited policies before fine-tuning, all seeds")

# %%
correlations = claims.reward_correlation(episodes)
table = correlations.groupby(["network", "share", "search"], sort=False)["correlation"]
table = table.agg(["mean", "min", "max"]).reset_index()
chapter.table("correlation", table, "Rank correlation of accuracy and low entropy, over seeds")

# %% [markdown]
# ## A policy for a network of your own
#
# A policy is a small JSON text. Magnitudes decide which channels stay, so it fits any network of
# the same architecture, here a freshly initialised one.

# %%
best = networks[networks["method"] == "entropy minimisation"].iloc[-1]
config = configs[best["run"]]
fresh = models.build(config.model, seed=seed + 1, **config.model_options)
images = torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
smaller = apply_policy(fresh, Policy.from_json(best["policy"]), images)
print(best["policy"])
print(f"FLOPs kept: {count_macs(smaller, images) / count_macs(fresh, images):.1%}")

# %% [markdown]
# ## Claims
#
# MT-6 and MT-7 are decided at the smallest share of VGG16, MT-8 on the other networks where the
# profile has them.

# %% tags=["nbval-check-output"]
vgg = networks[networks["network"] == "VGG16"]
smallest = vgg[vgg["share"] == vgg["share"].min()]
found = [claims.mt_6(smallest), claims.mt_7(smallest)]
verdicts = chapter.named(found, runs.select(vgg["run"].unique()))
others = networks[(networks["network"] != "VGG16") & (networks["method"] != amc.FULL)]
if others["network"].nunique() == 2:
    verdicts += chapter.named([claims.mt_8(others)], runs.select(others["run"].unique()))
table = chapter.claims(verdicts)
for row in table.itertuples():
    print(f"{row.claim}: {row.verdict}, {row.seeds} seeds, {row.data}")
fixed = summary[summary["method"].isin([amc.FULL, "uniform"])]
print(fixed[["network", "share", "method", "macs_kept", "parameters"]].round(3).to_string())
entropy = fixed[fixed["method"] == amc.FULL].groupby("network")["entropy"].mean()
print("entropy of the full networks:", entropy.round(1).to_dict())

# %%
pd.set_option("display.max_colwidth", None)
table[["claim", "verdict", "statistic", "data"]]

# %% [markdown]
# ## Reading and caveats
#
# - Read MT-6 together with the rows *uniform* and *random*: "as well as the accuracy reward" says
#   little about entropy where policies that nobody searched for do as well, or better.
# - A reward can only guide a search if it tells candidates apart *before* fine-tuning. Where all of
#   them are near chance (left panels above), the accuracy reward is noise.
# - MT-7 needs more than a low accuracy. The budget limits the FLOPs from above only; a reward that
#   does not care for accuracy may leave them unused, or spend them where parameters are few. It is
#   decided only where both networks cost the same to within a tenth.
# - The mean entropy weighs every convolution alike, whatever it costs, and maps of few pixels read
#   low: the last convolutions of VGG16 have 2x2 maps, and four different values always give
#   -0.5 (the thesis takes the entropy to lie between 0 and 1). A policy can lower the mean
#   without any effect on what the network knows.
# - The interval of a single seed is infinite; such a verdict is *inconclusive*.
# - Short trainings on few images (smoke, laptop) leave networks far from their best, with
#   accuracies that vary a lot between seeds; look at the intervals before the means.
#
# Departures from the documents' programs: calibration images are training images of the same data
# set (the public AMC takes those of CIFAR-100 for CIFAR-10); 3x3 convolutions are refitted, too;
# the budget is never exceeded; shortcuts of ResNet50 are pruned with their stage. Neither which
# images were held out nor the length of the search is told in the thesis: 5,000 training images,
# and 800 episodes as in AMC.

# %% [markdown]
# ## Try it


# %% tags=["nbval-ignore-output", "interactive"]
def draw(network, episode):
    """Accuracy against entropy of the policies of one network until an episode."""
    chosen = drawn[(drawn["network"] == network) & (drawn["episode"] <= episode)]
    return plotting.reward_scatter(chosen)


numbers = sorted(episodes["episode"].unique())
explore(draw, network=list(drawn["network"].unique()), episode=numbers)

# %% [markdown]
# ## Exercises
#
# 1. (easy) A network of equal 3x3 convolutions keeps half of the channels in every layer. What
#    happens to its FLOPs? Which share of channels is left at 10%?
# 2. (easy) Why does the reward $1 - \bar H_{AME}$ need no budget to be worth something, while the
#    accuracy does?
# 3. (harder) Design a control that tells whether low entropy *after* pruning matters, or only
#    which layers lose their channels.

# %% [markdown] tags=["solution"]
# 1. Inputs and outputs are halved: a quarter is left. At 10% it is $\sqrt{0.1} \approx 0.32$.
# 2. Accuracy before fine-tuning is nearly always largest for the full network, so without a budget
#    nothing would be pruned; entropy may fall by pruning.
# 3. For instance: keep the numbers of channels that the entropy search found, but choose *which*
#    channels stay at random. If the accuracy after fine-tuning is the same, only the widths matter.

# %% tags=["solution"]
print(f"{0.5**2:.2f}, {0.1**0.5:.2f}")

# %% [markdown]
# ## Provenance

# %% tags=["nbval-ignore-output"]
chapter.provenance(runs)
