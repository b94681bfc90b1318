"""Old and new weights are one object, so nothing pulls."""

LOSES = {"test_mended_run": "one object, take a copy"}


# %% mended_run
def mended_run(start, target, lr, gamma, n_steps):
    weight = start.clone()
    old, distances = weight, []
    for _ in range(n_steps):
        weight -= lr * ((weight - target) + gamma * (weight - old))
        distances.append(float((weight - start).norm()))
    return weight, distances
