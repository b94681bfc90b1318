"""All right, written with tensors."""

LOSES: dict[str, str] = {}

# %% cosine_rates
import math

import torch


def cosine_rates(n_epochs, batches_per_epoch, lr_max):
    t = torch.arange(n_epochs * batches_per_epoch, dtype=torch.float64)
    return (lr_max * torch.cos(math.pi * t / (2 * len(t))) ** 2).tolist()


# %% warmup_rates
import numpy as np


def warmup_rates(n_epochs, batches_per_epoch, lr_max):
    t = np.arange(n_epochs * batches_per_epoch)
    rise = batches_per_epoch
    phase = np.where(t < rise, 1 - t / rise, (t - rise) / max(1, len(t) - rise))
    return [float(rate) for rate in lr_max * (1 + np.cos(np.pi * phase)) / 2]


# %% group_rates
def group_rates(lr_top, n_groups, ratio=0.3):
    return np.geomspace(lr_top * ratio ** (n_groups - 1), lr_top, n_groups)


# %% open_groups
def open_groups(n_groups, n_epochs):
    lowest = [max(0, n_groups - 1 - epoch) for epoch in range(n_epochs)]
    return [list(range(first, n_groups)) for first in lowest]


# %% mended_training
def mended_training(starts, targets, n_epochs, n_batches, lr):
    weights = [torch.nn.Parameter(torch.tensor(w, dtype=torch.float64)) for w in starts]
    goals = torch.tensor(targets, dtype=torch.float64)
    optimizer, path = None, []
    for epoch in range(n_epochs):
        opened = weights[len(weights) - 1 - epoch]
        if optimizer is None:
            optimizer = torch.optim.Adam([opened], lr=lr)
        else:
            optimizer.add_param_group({"params": [opened]})
        for _ in range(n_batches):
            for w in weights:
                w.grad = None
            (torch.stack(weights) - goals).square().sum().mul(0.5).backward()
            optimizer.step()
            path.append([w.item() for w in weights])
    return path


# %% frozen_study
def frozen_study(features, labels, seeds, n_train):
    def run(x, seed):
        rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        x, y = x[rows], labels[rows]
        x = (x - x[:n_train].mean(0)) / (x[:n_train].std(0) + 1e-6)
        head = train_head(x[:n_train], y[:n_train], len(labels.unique()))
        return accuracy(head, x[n_train:], y[n_train:])

    return {arm: [run(x, seed) for seed in seeds] for arm, x in features.items()}
