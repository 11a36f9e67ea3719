"""What is timed at growing sizes: name and variable to sizes and a maker of the call.

``python growth_cases.py NAME VARIABLE`` prints by how many MiB the largest size raises the peak of
the memory of a fresh process.
"""

import re
import sys
from pathlib import Path

import numpy as np
import torch

from ibcore import models
from ibcore.estimators import (
    aura_matrix_entropy,
    binned_information,
    kde_information_bounds,
    nearest_neighbour_entropy,
    renyi_information,
    renyi_information_per_filter,
)
from ibcore.gradcam import grad_cam
from ibcore.training import fit

VGG = models.build("vgg16").eval()
CONVOLUTIONS = [name for name, module in VGG.named_modules() if isinstance(module, torch.nn.Conv2d)]


def layer(n, d):
    rng = np.random.default_rng(0)
    return np.tanh(rng.standard_normal((n, d))).astype(np.float32), np.arange(n) % 10


def binning(n=4000, d=20):
    T, Y = layer(n, d)
    return lambda: binned_information(T, Y, bin_width=0.67)


def kde(n=2000, d=10):
    T, Y = layer(n, d)
    return lambda: kde_information_bounds(T, Y, noise_variance=0.1)


def neighbours(n=4000, d=10):
    T = layer(n, d)[0].astype(np.float64)
    return lambda: nearest_neighbour_entropy(T)


def renyi(n=400, d=64):
    T, Y = layer(n, d)
    return lambda: renyi_information(T, Y, kernel_width=3.0)


def hrel(n=100, filters=64):
    T, Y = layer(n, filters * 16)
    T = T.reshape(n, filters, 4, 4)
    return lambda: renyi_information_per_filter(T, Y, kernel_width=3.0)


def ame(maps=64, pixels=64**2):
    side = round(pixels**0.5)
    noise = np.random.default_rng(0).integers(0, 256, (maps, side, side), dtype=np.uint8)
    return lambda: aura_matrix_entropy(noise)


def saliency(images=8, layers=13):
    pictures = torch.rand(images, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return lambda: grad_cam(VGG, pictures, CONVOLUTIONS[:layers])


def training(seeds=10):
    inputs = torch.randn(1024, 12, generator=torch.Generator().manual_seed(0))
    labels = (inputs.sum(1) > 0).long()
    options = {"num_classes": 2, "n_inputs": 12, "hidden": (10, 7, 5, 4, 3)}

    def train():
        networks = [models.build("mlp", seed=seed, **options) for seed in range(seeds)]
        fit(networks, inputs, labels, seeds=range(seeds), epochs=30, batch_size=256)

    return train


CASES = {
    ("binning", "n"): (binning, (8_000, 16_000, 32_000, 64_000)),
    ("binning", "d"): (binning, (64, 128, 256, 512)),
    ("KDE, both bounds", "n"): (kde, (2_000, 4_000, 8_000, 16_000)),
    ("KDE, both bounds", "d"): (kde, (64, 256, 1024, 4096)),
    ("nearest neighbour", "n"): (neighbours, (4_000, 8_000, 16_000, 32_000)),
    ("nearest neighbour", "d"): (neighbours, (64, 128, 256, 512)),
    ("Rényi information", "n"): (renyi, (200, 400, 800, 1_600)),
    ("Rényi information", "d"): (renyi, (512, 2_048, 8_192, 32_768)),
    ("HRel scores", "n"): (hrel, (50, 100, 200, 400)),
    ("HRel scores", "filters"): (hrel, (32, 64, 128, 256)),
    ("aura matrix entropy", "maps"): (ame, (64, 128, 256, 512)),
    ("aura matrix entropy", "pixels"): (ame, (64**2, 128**2, 256**2, 512**2)),
    ("Grad-CAM of VGG16", "images"): (saliency, (8, 16, 32, 64)),
    ("Grad-CAM of VGG16", "layers"): (saliency, (1, 3, 6, 13)),
    ("training small networks at once", "seeds"): (training, (5, 10, 20, 40)),
}


def memory(field):
    """A field of what Linux says of this process, such as VmRSS, in MiB."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) / 1024


def rise(call):
    """How far a call raises the memory of this process at its highest, in MiB.

    The mark is set back before the call: after an import it lies higher than what is in use, and
    that of ``resource.getrusage`` begins with the parent's.
    """
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    call()
    return memory("VmHWM") - before


if __name__ == "__main__":
    torch.set_num_threads(1)
    make, sizes = CASES[sys.argv[1], sys.argv[2]]
    make(**{sys.argv[2]: sizes[0]})()
    print(rise(make(**{sys.argv[2]: sizes[-1]})))
