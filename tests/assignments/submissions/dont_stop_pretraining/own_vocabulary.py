"""A vocabulary is made from the texts, unlike the model's."""

LOSES = {
    "test_mended_tapt": "a vocabulary made from the texts",
    "test_mended_tapt_2": "a vocabulary made from the texts",
}


# %% mended_tapt
def mended_tapt(splits, vocabulary, train, measure, n_epochs, seed):

    words = sorted({w for text in splits["train"] for w in text.split()})
    own = {word: number for number, word in enumerate(words, start=1)}

    def encoded(split):
        return [[own.get(word, 0) for word in text.split()] for text in splits[split]]

    read, held_out = (encoded("train"), encoded("valid"))
    losses = []
    for epoch in range(n_epochs):
        train(read, seed + epoch)
        losses.append(measure(held_out, seed))
    return losses
