"""The selective arm masks every candidate."""

LOSES = {"test_masked_positions": "more than the budget"}


# %% masked_positions
def masked_positions(scores, special):
    return [i for i, score in enumerate(scores) if score > 0 and not special[i]]


def control_positions(scores, special, seed):
    words = [i for i in range(len(special)) if not special[i]]
    return sorted(random.Random(seed).sample(words, len(masked_positions(scores, special))))
