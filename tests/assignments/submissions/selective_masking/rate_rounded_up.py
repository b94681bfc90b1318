"""The share is rounded up."""

LOSES = {"test_teaching_sentences": "rounded down"}


# %% teaching_sentences
def teaching_sentences(probabilities, labels, splits, rate=1.0):
    rows = [i for i, p in enumerate(probabilities) if p.index(max(p)) == labels[i]]
    rows = [i for i in rows if splits[i] == "train"]
    rows.sort(key=lambda i: -probabilities[i][labels[i]])
    return rows[: math.ceil(rate * len(rows))]
