"""Softmax before cross_entropy, which takes it again."""

LOSES = {"test_mended_classifier_2": "softmax before cross_entropy"}


# %% mended_classifier
def mended_dropout(language_model):
    return {name: CLASSIFIER_DROPOUT[name] for name in language_model}


def mended_reverse(ids):
    rows = ids.clone()
    for row in rows:
        n = int((row != 0).sum())
        row[1:n] = row[1:n].flip(0)
    return rows


def mended_loss(logits, labels):
    return buggy_loss(logits, labels)


def mended_average(forward, backward):
    return (forward.softmax(dim=1) + backward.softmax(dim=1)) / 2
