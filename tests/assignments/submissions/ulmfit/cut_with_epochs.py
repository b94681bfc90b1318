"""The cut is computed with T in epochs, so the rise is over after one batch."""

LOSES = {"test_slanted_rates": "T counts epochs in the cut"}


# %% slanted_rates
def slanted_rates(n_epochs, batches_per_epoch, lr_max, cut_frac=0.1, ratio=32):
    cut, T = max(1, math.floor(n_epochs * cut_frac)), n_epochs * batches_per_epoch
    shares = [t / cut if t < cut else 1 - (t - cut) / (T - cut) for t in range(T)]
    return [lr_max * (1 + p * (ratio - 1)) / ratio for p in shares]
