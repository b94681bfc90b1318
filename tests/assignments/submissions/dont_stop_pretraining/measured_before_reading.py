"""The loss is measured before each reading, not after it."""

LOSES = {"test_mended_tapt": "measured before the reading"}


# %% mended_tapt
def mended_tapt(splits, vocabulary, train, measure, n_epochs, seed):
    def encoded(split):
        unknown = vocabulary["[UNK]"]
        return [[vocabulary.get(word, unknown) for word in text.split()] for text in splits[split]]

    losses = []
    for epoch in range(n_epochs):
        losses.append(measure(encoded("valid"), seed))
        train(encoded("train"), seed + epoch)
    return losses
