"""Down first, then up."""

LOSES = {"test_warmup_rates": "the other way round"}


# %% warmup_rates
def warmup_rates(n_epochs, batches_per_epoch, lr_max):
    W, rest = batches_per_epoch, (n_epochs - 1) * batches_per_epoch
    fall = [0.5 * lr_max * (1 + math.cos(math.pi * t / W)) for t in range(W)]
    return fall + [0.5 * lr_max * (1 - math.cos(math.pi * t / rest)) for t in range(rest)]
