"""Frozen groups have rate 0, and gather Adam's averages meanwhile."""

LOSES = {"test_mended_training": "frozen groups gather averages already"}


# %% mended_training
def mended_training(starts, targets, n_epochs, n_batches, lr):
    weights = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in starts]
    optimizer = torch.optim.Adam([{"params": [w], "lr": 0.0} for w in weights])
    path = []
    for epoch in range(1, n_epochs + 1):
        optimizer.param_groups[-epoch]["lr"] = lr
        for _ in range(n_batches):
            optimizer.zero_grad()
            sum((w - t) ** 2 / 2 for w, t in zip(weights, targets)).backward()
            optimizer.step()
            path.append([float(w) for w in weights])
    return path
