"""The text is cut to 512 tokens, and [CLS] and [SEP] are added to them."""

LOSES = {"test_framed": "[CLS] and [SEP] need room, too", "test_framed_2": "keeps the head alone"}


# %% framed
def framed(ids, max_length, n_head, cls_id, sep_id):
    room = max_length
    if len(ids) > room:
        ids = [*ids[:n_head], *ids[len(ids) - (room - n_head) :]]
    return [cls_id, *ids, sep_id]
