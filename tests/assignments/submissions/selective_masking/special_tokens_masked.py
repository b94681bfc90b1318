"""Special tokens are masked and counted."""

LOSES = {"test_masked_positions": "a special token is masked"}


# %% masked_positions
def masked_positions(scores, special):
    ranked = sorted(range(len(scores)), key=lambda i: -scores[i])
    ranked = [i for i in ranked if scores[i] > 0]
    return sorted(ranked[: max(1, int(0.15 * len(scores)))])


def control_positions(scores, special, seed):
    n = len(masked_positions(scores, special))
    return sorted(random.Random(seed).sample(range(len(scores)), n))
