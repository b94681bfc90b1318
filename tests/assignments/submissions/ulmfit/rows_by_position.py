"""Embedding rows are copied by position, whatever the words."""

LOSES = {"test_remap_embedding": "copied by position"}


# %% remap_embedding
def remap_embedding(weight, old_words, new_words):
    new = weight.mean(dim=0).repeat(len(new_words), 1)
    new[: len(weight)] = weight[: len(new_words)]
    return new
