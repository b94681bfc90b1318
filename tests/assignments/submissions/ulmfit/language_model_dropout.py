"""The classifier keeps the language model's dropout."""

LOSES = {"test_mended_classifier": "the language model's dropout in the classifier"}


# %% mended_classifier
def mended_dropout(language_model):
    return buggy_dropout(language_model)


def mended_reverse(ids):
    rows = ids.clone()
    for row in rows:
        n = int((row != 0).sum())
        row[1:n] = row[1:n].flip(0)
    return rows


def mended_loss(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels)


def mended_average(forward, backward):
    return (forward.softmax(dim=1) + backward.softmax(dim=1)) / 2
