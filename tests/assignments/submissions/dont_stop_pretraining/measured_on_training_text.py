"""The loss is measured on the text that was read."""

LOSES = {"test_mended_tapt_2": "text that was just read"}


# %% mended_tapt
def mended_tapt(splits, vocabulary, train, measure, n_epochs, seed):

    def encoded(split):
        unknown = vocabulary["[UNK]"]
        return [[vocabulary.get(word, unknown) for word in text.split()] for text in splits[split]]

    read, held_out = (encoded("train"), encoded("valid"))
    losses = []
    for epoch in range(n_epochs):
        train(read, seed + epoch)
        losses.append(measure(read, seed))
    return losses
