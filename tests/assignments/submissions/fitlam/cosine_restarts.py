"""The cosine starts again in every epoch."""

LOSES = {"test_cosine_rates": "starts again in every epoch"}


# %% cosine_rates
def cosine_rates(n_epochs, batches_per_epoch, lr_max):
    T = batches_per_epoch
    return [0.5 * lr_max * (1 + math.cos(math.pi * t / T)) for t in range(T)] * n_epochs
