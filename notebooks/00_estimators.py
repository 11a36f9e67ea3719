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
# # 00 Estimators on data whose answer is known
#
# The five documents measure layers in four ways: by binning, by kernel density bounds (KDE), by
# nearest neighbours and by the spatial entropy of maps. A fifth, by the eigenvalues of a Gram
# matrix (Rényi), is that of HRel, the rival in one of them. Before any network is trained, this
# notebook asks the estimators of mutual information questions with a known answer.
#
# **You will learn** what each estimator gets right, how its error depends on the number of
# samples $n$ and the dimension $d$, why a deterministic network has infinite $I(X;T)$, and what
# the bin width and the noise variance decide.
#
# Everything is in bits. Runtime on two cores: smoke 10 s, laptop 30 s, paper 5 min.

# %%
import numpy as np
import pandas as pd

from ibcore import plotting, sweep
from ibcore.estimators import (
    binned_entropy,
    binned_information,
    discrete_entropy,
    kde_information,
    ksg_information,
)
from ibcore.experiments import known_truth
from ibcore.notebook import Chapter, explore

# %% tags=["parameters"]
profile = "smoke"
seed = 0

# %%
chapter = Chapter("00_estimators", profile, seed)
configs = chapter.configs(known_truth.Config)
configs

# %% [markdown]
# ## A coin
#
# A coin with probability $p$ of heads has $H = -p\log_2 p - (1-p)\log_2(1-p)$. With 1,000 tosses
# in exact proportion the binned entropy must agree to the last digit.

# %%
rows = []
for heads in (500, 250, 100, 10, 0):
    tosses = np.repeat([1.0, 0.0], [heads, 1000 - heads])[:, None]
    p = np.array([q for q in (heads / 1000, 1 - heads / 1000) if q > 0])
    truth = -(p * np.log2(p)).sum()
    rows.append((heads / 1000, truth, binned_entropy(tosses, bin_width=0.5)))
coin = pd.DataFrame(rows, columns=["p", "truth", "binned"])
chapter.table("coin", coin, "Entropy of a coin, in bits")

# %% [markdown]
# ## XOR
#
# $Y = X_1 \oplus X_2$: neither bit alone says anything about $Y$, both together say everything.
# Information is not a sum over coordinates.

# %%
bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 25, dtype=float)
xor = (bits.sum(1) % 2).astype(int)
views = {"first bit": bits[:, :1], "second bit": bits[:, 1:], "both": bits}
information = {
    name: binned_information(view, xor, bin_width=0.5).I_TY for name, view in views.items()
}
print(f"H(Y) = {discrete_entropy(xor):.1f} bit")
for name, value in information.items():
    print(f"I({name}; Y) = {value:.1f} bit")

# %% [markdown]
# ## Bias against $n$ and $d$
#
# Gaussians have closed forms: $H(T) = \frac d2 \log_2 2\pi e$, $I(A;B) = -\frac d2
# \log_2(1-\rho^2)$ for $d$ independent pairs with correlation $\rho$, $I(T;T+N) = \frac d2
# \log_2(1+1/v)$ for noise of variance $v$. Two Gaussian classes on a line have an $I(T;Y)$ that
# one integral gives.

# %% tags=["nbval-ignore-output"]
runs = sweep.run(known_truth, configs, seed=seed)

# %%
estimates = runs.table("estimates")
last = estimates[estimates["n"] == estimates.groupby("estimator")["n"].transform("max")]
summary = last.groupby(["estimator", "d", "n"])[["estimate", "truth"]].mean().reset_index()
chapter.table("bias", summary, "Mean estimate at the largest n, and the truth, in bits")

# %%
figure = plotting.estimates_against_n(estimates)
chapter.figure(
    "bias", figure, "Estimate minus truth against n, mean and standard deviation over repeats"
)

# %% [markdown]
# **Reading.** In one dimension binning, KSG and the nearest-neighbour entropy settle on the truth;
# the two KDE values of $I(X;T)$ do not, because they are bounds, one too high and one too low.
# Those of $I(T;Y)$ are differences of bounds and need not lie on two sides of the truth. With
# growing $d$:
#
# - The *binned* entropy stops at $\log_2 n$: every sample sits in a cell of its own, and the
#   estimate reports the sample size, not the distribution.
# - The *KDE* bounds describe a mixture of $n$ Gaussians and cannot exceed $\log_2 n$ either. They
#   bracket the information of that mixture, not that of the Gaussian the points came from.
# - *KSG* reads too low when the dependence is strong and $d$ is large.
# - The *nearest-neighbour* entropy is nearly unbiased up to a few dimensions.
# - *Rényi*'s value lives on a scale of its own: it orders, it does not count bits.

# %% [markdown]
# ## Why a deterministic network has infinite $I(X;T)$
#
# If $T = f(X)$ has a density, then $H(T|X) = -\infty$ and $I(X;T) = \infty$. What is plotted in an
# information plane is therefore always the information of something else: of binned activations,
# or of activations with noise added. The number depends on the bin width or on the noise, and on
# $n$ distinct inputs it lies between 0 and $\log_2 n$.

# %%
layer_rng = np.random.default_rng(seed)
inputs = layer_rng.standard_normal((max(configs["known truth"].sizes), 5))
layer = np.tanh(inputs @ layer_rng.standard_normal((5, 3)))
labels = (inputs[:, 0] > 0).astype(int)
n_values = configs["known truth"].sizes
rows = []
for n in n_values:
    for size in np.geomspace(1e-4, 2, 10):
        binned = binned_information(layer[:n], labels[:n], bin_width=size)
        noisy = kde_information(layer[:n], labels[:n], noise_variance=size**2)
        rows.append((n, size, binned.I_XT, noisy.I_XT))
scales = pd.DataFrame(rows, columns=["n", "size", "binned", "KDE upper"])
chapter.table("scales", scales, "I(X;T) of a random tanh layer against bin width or noise, in bits")

# %%
figure, axes = plotting.grid(2)
for ax, column, name in (
    (axes[0, 0], "binned", "bin width"),
    (axes[0, 1], "KDE upper", "noise standard deviation"),
):
    plotting.against_parameter(
        ax,
        scales,
        x="size",
        y=column,
        hue="n",
        xlabel=name,
        ylabel=f"I(X;T) [bits], {column}",
        ceilings={n: np.log2(n) for n in n_values},
    )
chapter.figure(
    "scales",
    figure,
    "I(X;T) of one random tanh layer against the bin width and against the noise; dotted: log2 n",
)


# %% [markdown]
# The same question with sliders (a still picture where no kernel runs).


# %% tags=["nbval-ignore-output", "interactive"]
def draw(bin_width, n):
    """Cells that a bin width cuts out of the plane of two units, and the information left."""
    value = binned_information(layer[:n, :2], labels[:n], bin_width=bin_width)
    title = f"I(X;T) = {value.I_XT:.2f} bit, I(T;Y) = {value.I_TY:.2f} bit"
    axes = plotting.grid(1)[1]
    return plotting.binned_plane(axes[0, 0], layer[:n], labels[:n], bin_width, title=title)


explore(draw, bin_width=[0.05, 0.1, 0.2, 0.5, 1.0], n=list(n_values))

# %% [markdown]
# ## Checked numbers

# %% tags=["nbval-check-output"]
print("coin, largest error:", f"{(coin['truth'] - coin['binned']).abs().max():.6f}")
print("XOR:", {name: round(value, 6) for name, value in information.items()})
edge = binned_entropy([0.4, 0.5, 0.6, 0.7], bin_width=0.5)
print(f"binned, four points around an edge: {edge:.4f}")
one = estimates[estimates["d"] == 1]
one = one[one["n"] == one.groupby("estimator")["n"].transform("max")]
for name, part in one.groupby("estimator"):
    print(f"{name}: {part['estimate'].mean():.2f} (truth {part['truth'].mean():.2f})")
grid = np.arange(-2, 3, dtype=float)[:, None]
kde = [
    kde_information(grid, np.zeros(5, int), noise_variance=1, bound=b) for b in ("upper", "lower")
]
print(f"KDE of five points: upper {kde[0].I_XT:.4f}, lower {kde[1].I_XT:.4f}")
a = np.random.default_rng(1).standard_normal((200, 1))
print(f"KSG of two noisy copies: {ksg_information(a, np.roll(a, 1) * 0.5 + a):.2f}")

# %% [markdown]
# ## Exercises
#
# 1. (easy) Why does $I(X;T)$ of a layer with 1,000 distinct inputs never exceed 9.97 bits?
# 2. (easy) A softmax output over 10 classes is cut with bin width 0.67. How many different symbols
#    can occur?
# 3. (harder) Multiply all activations by 10. Which estimates change, which do not?

# %% [markdown] tags=["solution"]
# 1. $\log_2 1000 = 9.97$: with equally likely inputs, $I(X;T) \le H(X)$.
# 2. Eleven: one per class whose probability is at least 0.67, and "none is".
# 3. Binning and KDE change (they have a length scale of their own), the nearest-neighbour entropy
#    grows by $d\log_2 10$, Rényi with an aligned kernel width stays. KSG stays if both variables
#    are multiplied. If only one is, its distances are the larger ones and choose the neighbours:
#    the estimate falls once the factor is large beside $n$. For two Gaussian variables and 1,000
#    samples a factor of 10 hardly matters and 1,000 leaves a tenth; 3,000 samples keep a third of
#    it, and a factor of 10,000 leaves nothing.

# %% tags=["solution"]
for factor in (1, 10):
    value = binned_information(factor * layer, labels, bin_width=0.5)
    print(f"activations times {factor}: I(X;T) = {value.I_XT:.2f} bit")

# %% [markdown]
# ## Provenance

# %% tags=["nbval-ignore-output"]
chapter.provenance(runs)
