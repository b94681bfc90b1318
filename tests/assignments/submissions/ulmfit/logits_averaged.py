"""Logits are averaged instead of probabilities."""

LOSES = {"test_mended_classifier_2": "logits are averaged"}


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
    return torch.nn.functional.cross_entropy(logits, labels)


def mended_average(forward, backward):
    return buggy_average(forward, backward)
