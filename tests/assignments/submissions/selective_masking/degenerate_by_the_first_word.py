"""The first word is asked about, in place of nothing."""

LOSES = {"test_is_degenerate": "the first word is taken for nothing"}


# %% is_degenerate
def is_degenerate(classify, words, label, delta=0.05):
    return classify(words)[label] - classify(words[:1])[label] < delta
