"""The exponential overflows where t0 is large."""

LOSES = {"test_target_weights": "OverflowError"}


# %% target_weights
def target_weights(n_epochs, batches_per_epoch, k, t0):
    steps = range(1, n_epochs * batches_per_epoch + 1)
    return [1 / (1 + math.exp(-k * (t - t0))) for t in steps]
