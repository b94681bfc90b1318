"""Special tokens are not masked, but counted in the budget."""

LOSES = {"test_masked_positions": "special tokens are counted"}


# %% masked_positions
def masked_positions(scores, special):
    ranked = sorted(range(len(scores)), key=lambda i: -scores[i])
    ranked = [i for i in ranked if scores[i] > 0 and not special[i]]
    return sorted(ranked[: max(1, int(0.15 * len(scores)))])


def control_positions(scores, special, seed):
    words = [i for i, is_special in enumerate(special) if not is_special]
    n = len(masked_positions(scores, special))
    return sorted(random.Random(seed).sample(words, n))
