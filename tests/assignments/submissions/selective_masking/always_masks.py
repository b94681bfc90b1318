"""Without a candidate the highest token is masked all the same."""

LOSES = {"test_masked_positions": "without a candidate nothing is masked"}


# %% masked_positions
def masked_positions(scores, special):
    words = [i for i in range(len(special)) if not special[i]]
    words.sort(key=lambda i: -scores[i])
    return sorted(words[: max(1, int(0.15 * len(words)))])


def control_positions(scores, special, seed):
    words = [i for i in range(len(special)) if not special[i]]
    return sorted(random.Random(seed).sample(words, len(masked_positions(scores, special))))
