"""The control masks sentences that the selective arm leaves alone."""

LOSES = {"test_masked_positions": "the control masks where the selective arm masks nothing"}


# %% masked_positions
def masked_positions(scores, special):
    words = [i for i in range(len(special)) if not special[i]]
    found = sorted((i for i in words if scores[i] > 0), key=lambda i: -scores[i])
    return sorted(found[: max(1, int(0.15 * len(words)))])


def control_positions(scores, special, seed):
    words = [i for i in range(len(special)) if not special[i]]
    n = max(1, len(masked_positions(scores, special)))
    return sorted(random.Random(seed).sample(words, n))
