"""The tail is a slice from -n: with no room left for it, it is the whole text, as in the released code."""

LOSES = {"test_framed_2": "a slice from -0"}


# %% framed
def framed(ids, max_length, n_head, cls_id, sep_id):
    room = max_length - 2
    if len(ids) > room:
        ids = [*ids[:n_head], *ids[-(room - n_head) :]]
    return [cls_id, *ids, sep_id]
