"""The loss is measured on the test split."""

LOSES = {"test_mended_tapt_2": "the loss is measured on the test split"}


# %% mended_tapt
def mended_tapt(splits, vocabulary, train, measure, n_epochs, seed):

    def encoded(split):
        unknown = vocabulary["[UNK]"]
        return [[vocabulary.get(word, unknown) for word in text.split()] for text in splits[split]]

    read, held_out = (encoded("train"), encoded("test"))
    losses = []
    for epoch in range(n_epochs):
        train(read, seed + epoch)
        losses.append(measure(held_out, seed))
    return losses
