"""Padding counts as pieces in the mean."""

LOSES = {"test_in_pieces_2": "padding counts as pieces"}


# %% in_pieces
def in_pieces(ids, n):
    count = max(1, math.ceil(len(ids) / n))
    return [list(ids[i * n : (i + 1) * n]) for i in range(count)]


def combine_pieces(states, is_piece, how):
    here = is_piece[:, :, None]
    if how == "max":
        return states.masked_fill(~here, float("-inf")).amax(dim=1)
    return states.mean(dim=1)
