"""Only an empty text close to the whole is found, not one that scores far higher."""

LOSES = {"test_is_degenerate": "the absolute difference"}


# %% is_degenerate
def is_degenerate(classify, words, label, delta=0.05):
    return abs(classify(words)[label] - classify([])[label]) < delta
