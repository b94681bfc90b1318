"""The head alone is kept, the released code's default."""

LOSES = {"test_framed": "the end of the text is missing", "test_framed_2": "keeps the tail alone"}


# %% framed
def framed(ids, max_length, n_head, cls_id, sep_id):
    room = max_length - 2
    if len(ids) > room:
        ids = ids[:room]
    return [cls_id, *ids, sep_id]
