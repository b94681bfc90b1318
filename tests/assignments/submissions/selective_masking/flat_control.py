"""The control masks a flat 15 % of the words wherever something is masked."""

LOSES = {"test_masked_positions": "a flat 15 %"}


# %% masked_positions
def masked_positions(scores, special):
    words = [i for i in range(len(special)) if not special[i]]
    found = sorted((i for i in words if scores[i] > 0), key=lambda i: -scores[i])
    return sorted(found[: max(1, int(0.15 * len(words)))])


def control_positions(scores, special, seed):
    words = [i for i in range(len(special)) if not special[i]]
    if not masked_positions(scores, special):
        return []
    return sorted(random.Random(seed).sample(words, max(1, int(0.15 * len(words)))))
