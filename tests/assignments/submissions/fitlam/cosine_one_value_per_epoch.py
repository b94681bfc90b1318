"""One value per epoch, where one per batch is asked for."""

LOSES = {"test_cosine_rates": "one rate for a whole epoch"}


# %% cosine_rates
def cosine_rates(n_epochs, batches_per_epoch, lr_max):
    return [0.5 * lr_max * (1 + math.cos(math.pi * e / n_epochs)) for e in range(n_epochs)]
