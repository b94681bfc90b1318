"""The buggy loop handed in as it is: a training batch is measured."""

LOSES = {"test_mended_selection": "a training batch is measured"}


# %% mended_selection
def mended_selection(train_batches, valid_batches, step, measure, n_epochs):
    return buggy_selection(train_batches, valid_batches, step, measure, n_epochs)
