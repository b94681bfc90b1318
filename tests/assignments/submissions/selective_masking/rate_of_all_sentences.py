"""The rate is taken of all sentences, the wrong ones included."""

LOSES = {"test_teaching_sentences": "the rate is of all sentences"}


# %% teaching_sentences
def teaching_sentences(probabilities, labels, splits, rate=1.0):
    rows = [i for i, p in enumerate(probabilities) if p.index(max(p)) == labels[i]]
    rows = [i for i in rows if splits[i] == "train"]
    rows.sort(key=lambda i: -max(probabilities[i]))
    return rows[: max(1, int(rate * len(labels)))]
