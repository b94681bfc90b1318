"""L / 510 is rounded down: the end of the text is lost."""

LOSES = {"test_in_pieces": "round L / 510 up"}


# %% in_pieces
def in_pieces(ids, n):
    count = max(1, len(ids) // n)
    return [list(ids[i * n : (i + 1) * n]) for i in range(count)]


def combine_pieces(states, is_piece, how):
    here = is_piece[:, :, None]
    if how == "max":
        return states.masked_fill(~here, float("-inf")).amax(dim=1)
    return states.masked_fill(~here, 0.0).sum(dim=1) / here.sum(dim=1)
