"""Validation batches of different size count alike."""

LOSES = {"test_mended_selection": "a small batch counts as much"}


# %% mended_selection
def mended_selection(train_batches, valid_batches, step, measure, n_epochs):
    losses = []
    for _ in range(n_epochs):
        for batch in train_batches:
            step(batch)
        losses.append(sum(measure(b) for b in valid_batches) / len(valid_batches))
    return losses.index(min(losses))
