"""One optimizer, but gradients are never set back."""

LOSES = {"test_mended_training": "nothing sets them back"}


# %% mended_training
def mended_training(starts, targets, n_epochs, n_batches, lr):
    weights = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in starts]
    optimizer = torch.optim.Adam(weights[-1:], lr=lr)
    path = []
    for epoch in range(1, n_epochs + 1):
        if epoch > 1:
            optimizer.add_param_group({"params": [weights[-epoch]]})
        for _ in range(n_batches):
            sum((w - t) ** 2 / 2 for w, t in zip(weights, targets)).backward()
            optimizer.step()
            path.append([float(w) for w in weights])
    return path
