"""New words start from zeros."""

LOSES = {"test_remap_embedding": "take the mean row"}


# %% remap_embedding
def remap_embedding(weight, old_words, new_words):
    rows = dict(zip(old_words, weight))
    return torch.stack([rows.get(word, torch.zeros(weight.shape[1])) for word in new_words])
