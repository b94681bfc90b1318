"""Misclassified sentences teach, too."""

LOSES = {"test_teaching_sentences": "misclassified teach"}


# %% teaching_sentences
def teaching_sentences(probabilities, labels, splits, rate=1.0):
    rows = [i for i in range(len(labels)) if splits[i] == "train"]
    rows.sort(key=lambda i: -max(probabilities[i]))
    return rows[: max(1, int(rate * len(rows)))]
