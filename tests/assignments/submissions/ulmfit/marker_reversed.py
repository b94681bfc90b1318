"""The marker at the start of the text is reversed with it."""

LOSES = {"test_mended_classifier": "the marker at the start"}


# %% mended_classifier
def mended_dropout(language_model):
    return {name: CLASSIFIER_DROPOUT[name] for name in language_model}


def mended_reverse(ids):
    rows = ids.clone()
    for row in rows:
        n = int((row != 0).sum())
        row[:n] = row[:n].flip(0)
    return rows


def mended_loss(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels)


def mended_average(forward, backward):
    return (forward.softmax(dim=1) + backward.softmax(dim=1)) / 2
