"""Of equally confident sentences the last comes first."""

LOSES = {"test_teaching_sentences": "equally confident in rising order"}


# %% teaching_sentences
def teaching_sentences(probabilities, labels, splits, rate=1.0):
    rows = [i for i, p in enumerate(probabilities) if p.index(max(p)) == labels[i]]
    rows = [i for i in rows if splits[i] == "train"]
    rows.sort(key=lambda i: (-probabilities[i][labels[i]], -i))
    return rows[: max(1, int(rate * len(rows)))]
