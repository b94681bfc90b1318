"""Overshooting is taken for divergence."""

LOSES = {"test_recall_path": "too strict"}


# %% recall_path
def recall_path(distance, lr, gamma, n_steps):
    return [distance * (1 - lr * gamma) ** step for step in range(1, n_steps + 1)]


def is_stable(lr, gamma):
    return lr * gamma < 1
