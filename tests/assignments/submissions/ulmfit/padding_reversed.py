"""The padded batch is flipped, so the backward model starts on padding."""

LOSES = {"test_mended_classifier": "padding is reversed with the text"}


# %% mended_classifier
def mended_dropout(language_model):
    return {name: CLASSIFIER_DROPOUT[name] for name in language_model}


def mended_reverse(ids):
    return buggy_reverse(ids)


def mended_loss(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels)


def mended_average(forward, backward):
    return (forward.softmax(dim=1) + backward.softmax(dim=1)) / 2
