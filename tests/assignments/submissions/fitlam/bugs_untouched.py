"""The buggy loop handed in as it is."""

LOSES = {"test_mended_training": "both bugs are still there"}


# %% mended_training
def mended_training(starts, targets, n_epochs, n_batches, lr):
    return buggy_training(starts, targets, n_epochs, n_batches, lr)
