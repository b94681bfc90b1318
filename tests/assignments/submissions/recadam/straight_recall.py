"""Every step takes the same amount."""

LOSES = {"test_recall_path": "the steps get smaller"}


# %% recall_path
def recall_path(distance, lr, gamma, n_steps):
    return [distance * (1 - lr * gamma * step) for step in range(1, n_steps + 1)]


def is_stable(lr, gamma):
    return 0 < lr * gamma < 2
