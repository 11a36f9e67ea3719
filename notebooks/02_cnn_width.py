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
# # 02 How wide a convolutional network is (Li & Liu, Fig. 4)
#
# Six convolutions of 3x3 with tanh and 1, 3, 6 or 12 channels each, then one fully connected output
# layer; Adam with learning rate 0.001 on 10,000 images. The document bins whole layers with width
# 0.67 and reads off: convolutional layers sit at the upper bounds, wider networks start higher and
# arrive sooner, nothing is ever compressed. Claims LL-1, LL-2, LL-6, LL-7.
#
# $$I(X;T) = H(T), \qquad I(T;Y) = H(T) - \sum_c p_c\,H(T|Y=c) \qquad\text{(Eqs. 4, 5)}$$
#
# **You will learn** what a *saturated* estimate is, and why it cannot answer the question whether a
# layer compresses.
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
chapter = Chapter("02_cnn_width", profile, seed)
configs = chapter.configs(information_plane.Config)
pd.DataFrame({name: vars(config) for name, config in configs.items()})

# %% [markdown]
# ## Training and measuring

# %% tags=["nbval-ignore-output"]
runs = sweep.run(information_plane, configs, seed=seed)
chapter.data_from(runs)

# %%
settings = pd.DataFrame(
    [(run, runs.labels[run], config.model_options["widths"][0]) for run, config in configs.items()],
    columns=["run", "dataset", "width"],
)
measurements = runs.table("measurements").merge(settings, on="run")
history, bounds = runs.table("history").merge(settings, on="run"), runs.table("bounds")
first = next(iter(configs.values()))
how = f"binning 0.67, {first.n_test} images, mean of {first.replicas} seeds"
bounds.drop_duplicates(["set", "n", "ceiling_Y"]).drop(columns=["run", "seed"])

# %% [markdown]
# ## Information planes
#
# On the training and on the test images. Nearly all convolutional layers lie on top of each other
# in the upper right corner. The last ones of the narrowest network may start lower and climb there;
# the output layer moves.

# %%
columns = settings["width"].nunique()
train = measurements[measurements["set"] == "train"]
figure = plotting.information_planes(train, bounds, columns=columns)
chapter.figure("planes_train", figure, f"Information planes on the training images, {how}")

# %%
test = measurements[measurements["set"] == "test"]
figure = plotting.information_planes(test, bounds, columns=columns)
chapter.figure("planes_test", figure, f"Information planes on the test images, {how}")

# %% [markdown]
# ## The output layer through training

# %%
output = measurements[measurements["layer"] == "output"]
output = output.assign(width=output["width"].astype(str))
figure = plotting.information_over_epochs(
    output, bounds, hue="width", by=["dataset", "set"], title="output layer"
)
chapter.figure("output_layer", figure, f"Output layer by width, {how}, with spread; dotted: H(Y)")

# %%
figure, axes = plotting.grid(settings["dataset"].nunique(), width=5)
for ax, (dataset, part) in zip(axes.flat, history.groupby("dataset", sort=False), strict=True):
    part = part.assign(width=part["width"].astype(str))
    plotting.over_epochs(
        ax, part, "test_accuracy", hue="width", ylabel="test accuracy", title=dataset
    )
chapter.figure("accuracy", figure, f"Test accuracy by width, mean of {first.replicas} seeds")

# %% [markdown]
# ## Which layers can answer at all?
#
# A layer that never leaves the last 0.05 bit below its ceiling, $\log_2 n$ for distinct images, is
# *saturated*: it has a symbol of its own for nearly every image at every epoch, whatever the
# network does. Its curve is flat because of the estimator. A layer that starts lower and *ends*
# there has risen, but cannot be asked for a fall either: what it lost above the ceiling is hidden.

# %%
phases = claims.phases(measurements, bounds)
saturation = phases.groupby(["run", "set", "layer"], sort=False)["saturated"].mean().unstack()
chapter.table(
    "saturation", saturation.reset_index(), "Share of the seeds in which a layer is saturated"
)

# %%
unsaturated = phases[~phases["saturated"]]
columns = ["start", "peak", "peak_epoch", "end", "drop", "band"]
summary = unsaturated.groupby(["run", "set", "layer"], sort=False)[columns].mean().reset_index()
chapter.table("phases", summary, "Rise and fall of I(X;T), in bits, of the layers that can move")

# %% [markdown]
# ## Claims
#
# The output layer is a softmax with at most eleven symbols: when the symbol "no class above 0.67"
# dies out, $I(X;T)$ may fall by $\log_2(11/10) = 0.14$ bit. That much is not counted as
# compression.

# %% tags=["nbval-check-output"]
verdicts = []
for dataset in settings["dataset"].unique():
    names = settings[settings["dataset"] == dataset]["run"]
    part = measurements[measurements["run"].isin(names)]
    found = [
        claims.ll_1(part, bounds),
        claims.ll_2(part, bounds),
        claims.ll_6(phases[phases["run"].isin(names)], n_classes=10),
        claims.ll_7(history[history["run"].isin(names)]),
    ]
    verdicts += chapter.named(found, runs.select(names))
table = chapter.claims(verdicts)
for row in table.itertuples():
    print(f"{row.claim}: {row.verdict}, {row.seeds} seeds, {row.data}")
print("H(Y):", bounds.groupby("set")["ceiling_Y"].first().round(3).to_dict())
first_values = output[output["epoch"] == 0].groupby("width")["I_XT"].mean()
print("I(X;T) of the output layer before training:", first_values.round(1).to_dict())

# %%
pd.set_option("display.max_colwidth", None)
table[["claim", "verdict", "statistic", "data"]]

# %% [markdown]
# ## Reading and caveats
#
# - "Every convolutional layer sits at the upper bounds" is a statement about bins in hundreds of
#   dimensions, not about the network: nearly all layers of an untrained network sit there too
#   (epoch 0). The exceptions are the last layers of the narrowest network, which may start lower.
# - So the document's "no compression" cannot be had from these layers. LL-6 leaves out every layer
#   that ends within 0.05 bit of its ceiling in all seeds and asks the others: one that falls
#   contradicts the claim, and where all are shown not to fall they support it. A layer that ends at
#   the ceiling in some seeds may contradict, but not support. If no hidden layer is left to be
#   asked and the output layer does not fall, the verdict is *uninformative*.
# - $H(Y)$ is the entropy of the labels of the evaluated images. Where images repeat, the ceiling of
#   $I(X;T)$ is the entropy of the repeated images: below $\log_2 n$, and at most the logarithm of
#   the number of distinct ones.
# - The level for "epochs to 95%" is $H(Y)$ where every width gets that far, otherwise the smallest
#   of the widths' largest values.
# - If all seeds give the same rank correlation, its interval has no width, even when three of the
#   four widths begin at one and the same $I(X;T)$. If most widths begin alike in most cases, LL-2
#   is left inconclusive.
# - The laptop profile trains on 300 images for 16 epochs, in ten steps per epoch as in the
#   document's program; the comparison of widths rests on those first epochs.
#
# Departures from the document's program: its 10,000 training images were apparently drawn with
# repeats, here they are distinct; it takes no snapshot before training.

# %% [markdown]
# ## Try it


# %% tags=["nbval-ignore-output", "interactive"]
def draw(run, part, epoch):
    """Information plane of one network on the training or the test images, up to an epoch."""
    chosen = measurements[(measurements["run"] == run) & (measurements["set"] == part)]
    return plotting.information_planes(chosen, bounds, until=epoch)


epochs = sorted(set(measurements["epoch"]))
explore(draw, run=list(configs), part=["train", "test"], epoch=epochs)

# %% [markdown]
# ## Exercises
#
# 1. (easy) A convolutional layer has 28 x 28 x 3 tanh outputs, cut into bins of width 0.67 with an
#    edge at 0. How many cells is that, and how many images are there to fill them? Does it follow
#    that no two images share a cell?
# 2. (easy) Why can the output layer not exceed $\log_2 11$ bits?
# 3. (harder) Li & Liu conclude that CNNs do not compress. What would you have to measure instead to
#    support that?

# %% [markdown] tags=["solution"]
# 1. Four bins between -1 and 1, so $4^{2352}$ cells for at most 10,000 images: more than enough for
#    a cell each, but two images may still share one. A layer that maps all images to nearly the
#    same values does so: in the laptop profile the last convolution of the network of width 1
#    starts 0.2 bit below the ceiling (Fashion-MNIST, mean of three seeds; two of them leave it).
# 2. At bin width 0.67 a softmax over 10 classes has 11 symbols.
# 3. Something that does not end at its ceiling: single filters of few pixels, spatially pooled
#    layers, an estimator whose scale follows the layer, always beside a null model with permuted
#    labels.

# %% tags=["solution"]
print(f"cells: 10^{28 * 28 * 3 * 0.60206:.0f}")

# %% [markdown]
# ## Provenance

# %% tags=["nbval-ignore-output"]
chapter.provenance(runs)
