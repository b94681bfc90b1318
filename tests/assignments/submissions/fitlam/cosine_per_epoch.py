"""The cosine is taken once per epoch, and the rate held for all batches of it."""

LOSES = {"test_cosine_rates": "one rate for a whole epoch"}


# %% cosine_rates
def cosine_rates(n_epochs, batches_per_epoch, lr_max):
    rates = [0.5 * lr_max * (1 + math.cos(math.pi * e / n_epochs)) for e in range(n_epochs)]
    return [rate for rate in rates for _ in range(batches_per_epoch)]
