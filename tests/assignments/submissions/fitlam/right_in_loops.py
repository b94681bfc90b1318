"""All right, in plain loops, with a helper in a cell of its own and outputs left in."""

LOSES: dict[str, str] = {}

# %%
from math import cos, pi


def half_wave(share, top):
    """Falls from top to 0."""
    return top * (1 + cos(pi * share)) / 2


print(half_wave(0.5, 1.0))


# %% cosine_rates
def cosine_rates(n_epochs, batches_per_epoch, lr_max):
    rates = []
    for epoch in range(n_epochs):
        for batch in range(batches_per_epoch):
            done = epoch * batches_per_epoch + batch
            rates.append(half_wave(done / (n_epochs * batches_per_epoch), lr_max))
    return rates


print(cosine_rates(2, 3, 0.1))


# %% warmup_rates
def warmup_rates(n_epochs, batches_per_epoch, lr_max):
    rates = [half_wave(1 - t / batches_per_epoch, lr_max) for t in range(batches_per_epoch)]
    left = (n_epochs - 1) * batches_per_epoch
    for t in range(left):
        rates.append(half_wave(t / left, lr_max))
    return rates


# %% group_rates
def group_rates(lr_top, n_groups, ratio=0.3):
    rates = [lr_top]
    while len(rates) < n_groups:
        rates.insert(0, rates[0] * ratio)
    return rates


# %% open_groups
def open_groups(n_groups, n_epochs):
    plan, opened = [], []
    for epoch in range(n_epochs):
        if epoch < n_groups:
            opened = [n_groups - 1 - epoch, *opened]
        plan.append(list(opened))
    return plan


# %% mended_training
def mended_training(starts, targets, n_epochs, n_batches, lr):
    weights = [torch.tensor(w, dtype=torch.float64) for w in starts]
    optimizer = torch.optim.Adam(weights, lr=lr)
    path = []
    for epoch in range(n_epochs):
        weights[-1 - epoch].requires_grad_(True)
        for _ in range(n_batches):
            optimizer.zero_grad(set_to_none=True)
            loss = 0.0
            for w, target in zip(weights, targets):
                loss = loss + 0.5 * (w - target) ** 2
            loss.backward()
            optimizer.step()
            path.append([float(w.detach()) for w in weights])
    return path


# %% frozen_study
def frozen_study(features, labels, seeds, n_train):
    results = {}
    for arm in features:
        results[arm] = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            order = torch.randperm(len(labels), generator=generator).tolist()
            train, test = order[:n_train], order[n_train:]
            x_train, x_test = features[arm][train], features[arm][test]
            mean, spread = x_train.mean(0, keepdim=True), x_train.std(0, keepdim=True) + 1e-6
            head = train_head((x_train - mean) / spread, labels[train], int(max(labels)) + 1)
            results[arm].append(accuracy(head, (x_test - mean) / spread, labels[test]))
    return results
