"""The text is framed first and cut to its head afterwards, so [SEP] is lost."""

LOSES = {"test_framed": "[SEP], it was cut off", "test_framed_2": "keeps the head alone"}


# %% framed
def framed(ids, max_length, n_head, cls_id, sep_id):
    return [cls_id, *ids, sep_id][:max_length]
