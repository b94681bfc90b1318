"""Sentences of the test split teach the masker."""

LOSES = {"test_teaching_sentences": "a leak"}


# %% teaching_sentences
def teaching_sentences(probabilities, labels, splits, rate=1.0):
    rows = [i for i, p in enumerate(probabilities) if p.index(max(p)) == labels[i]]
    rows.sort(key=lambda i: -max(probabilities[i]))
    return rows[: max(1, int(rate * len(rows)))]
