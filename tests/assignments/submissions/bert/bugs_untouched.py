"""The buggy groups handed in as they are."""

LOSES = {
    "test_mended_groups": "the embeddings are in no group",
    "test_mended_groups_2": "a layer that does not exist",
}


# %% mended_groups
def mended_groups(names, n_layers, lr, decay, weight_decay):
    return buggy_groups(names, n_layers, lr, decay, weight_decay)
