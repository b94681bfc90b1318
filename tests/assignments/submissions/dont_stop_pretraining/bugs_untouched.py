"""The buggy script handed in as it is."""

LOSES = {"test_mended_tapt": "test text is read", "test_mended_tapt_2": "text that was just read"}


# %% mended_tapt
def mended_tapt(splits, vocabulary, train, measure, n_epochs, seed):
    return buggy_tapt(splits, vocabulary, train, measure, n_epochs, seed)
