"""A new optimizer in every epoch: Adam's moments are lost at each unfreezing."""

LOSES = {"test_mended_training": "a new optimizer forgets them"}


# %% mended_training
def mended_training(starts, targets, n_epochs, n_batches, lr):
    weights = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in starts]
    path = []
    for epoch in range(1, n_epochs + 1):
        optimizer = torch.optim.Adam(weights[-epoch:], lr=lr)
        for _ in range(n_batches):
            optimizer.zero_grad()
            sum((w - t) ** 2 / 2 for w, t in zip(weights, targets)).backward()
            optimizer.step()
            path.append([float(w) for w in weights])
    return path
