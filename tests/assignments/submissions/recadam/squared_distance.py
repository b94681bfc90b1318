"""The squared distance is logged, as in the released code."""

LOSES = {"test_mended_run": "the squared distance is logged"}


# %% mended_run
def mended_run(start, target, lr, gamma, n_steps):
    weight, distances = start.clone(), []
    for _ in range(n_steps):
        weight = weight - lr * ((weight - target) + gamma * (weight - start))
        distances.append(float(((weight - start) ** 2).sum()))
    return weight, distances
