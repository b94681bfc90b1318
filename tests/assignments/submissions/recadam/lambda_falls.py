"""Lambda falls: first learn, then recall."""

LOSES = {"test_target_weights": "the wrong direction"}


# %% target_weights
def target_weights(n_epochs, batches_per_epoch, k, t0):
    steps = torch.arange(1, n_epochs * batches_per_epoch + 1, dtype=torch.float64)
    return torch.sigmoid(-k * (steps - t0)).tolist()
