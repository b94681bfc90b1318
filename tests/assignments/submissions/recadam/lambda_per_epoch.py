"""Lambda is computed once per epoch."""

LOSES = {"test_target_weights": "one weight for a whole epoch"}


# %% target_weights
def target_weights(n_epochs, batches_per_epoch, k, t0):
    weights = []
    for epoch in range(n_epochs):
        t = epoch * batches_per_epoch + batches_per_epoch / 2
        weights += [float(torch.sigmoid(torch.tensor(k * (t - t0))))] * batches_per_epoch
    return weights
