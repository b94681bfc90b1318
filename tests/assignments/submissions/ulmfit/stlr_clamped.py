"""The formula as printed, with rates below zero cut off."""

LOSES = {"test_slanted_rates_2": "clamped"}


# %% slanted_rates
def slanted_rates(n_epochs, batches_per_epoch, lr_max, cut_frac=0.1, ratio=32):
    T = n_epochs * batches_per_epoch
    cut = max(1, math.floor(T * cut_frac))
    shares = [
        t / cut if t < cut else max(0, 1 - (t - cut) / (cut * (1 / cut_frac - 1))) for t in range(T)
    ]
    return [lr_max * (1 + p * (ratio - 1)) / ratio for p in shares]
