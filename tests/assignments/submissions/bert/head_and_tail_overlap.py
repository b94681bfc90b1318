"""Head and tail are taken of every text, so that a short one is read twice in part."""

LOSES = {"test_framed_2": "no token is taken twice"}


# %% framed
def framed(ids, max_length, n_head, cls_id, sep_id):
    room = max_length - 2
    ids = [*ids[:n_head], *ids[max(0, len(ids) - (room - n_head)) :]]
    return [cls_id, *ids, sep_id]
