"""Where nothing pulls, it is said to be stable."""

LOSES = {"test_recall_path": "without a pull"}


# %% recall_path
def recall_path(distance, lr, gamma, n_steps):
    return [distance * (1 - lr * gamma) ** step for step in range(1, n_steps + 1)]


def is_stable(lr, gamma):
    return lr * gamma < 2
