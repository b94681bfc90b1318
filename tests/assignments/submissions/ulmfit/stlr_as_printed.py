"""The formula as printed: rates below zero for most lengths of training."""

LOSES = {"test_slanted_rates_2": "the printed formula falls too far"}


# %% slanted_rates
def slanted_rates(n_epochs, batches_per_epoch, lr_max, cut_frac=0.1, ratio=32):
    T = n_epochs * batches_per_epoch
    cut = math.floor(T * cut_frac)
    rates = []
    for t in range(T):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        rates.append(lr_max * (1 + p * (ratio - 1)) / ratio)
    return rates
