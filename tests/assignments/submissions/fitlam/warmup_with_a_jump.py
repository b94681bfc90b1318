"""The fall counts batches from the start of the training."""

LOSES = {"test_warmup_rates": "the fall counts its own batches"}


# %% warmup_rates
def warmup_rates(n_epochs, batches_per_epoch, lr_max):
    W, T = batches_per_epoch, n_epochs * batches_per_epoch
    rise = [0.5 * lr_max * (1 - math.cos(math.pi * t / W)) for t in range(W)]
    return rise + [0.5 * lr_max * (1 + math.cos(math.pi * t / T)) for t in range(W, T)]
