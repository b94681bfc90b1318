"""One slanted rate per epoch, held for all of its batches."""

LOSES = {"test_slanted_rates": "one rate for a whole epoch"}


# %% slanted_rates
def slanted_rates(n_epochs, batches_per_epoch, lr_max, cut_frac=0.1, ratio=32):
    cut = max(1, math.floor(n_epochs * cut_frac))
    rates = []
    for e in range(n_epochs):
        p = e / cut if e < cut else 1 - (e - cut) / (n_epochs - cut)
        rates.append(lr_max * (1 + p * (ratio - 1)) / ratio)
    return [rate for rate in rates for _ in range(batches_per_epoch)]
