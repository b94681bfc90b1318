"""Two groups open at once in epoch 2, as in a well-known library."""

LOSES = {"test_open_groups": "two groups open at once"}


# %% open_groups
def open_groups(n_groups, n_epochs):
    groups = list(range(n_groups))
    return [groups[-1:] if e == 0 else groups[-(e + 2) :] for e in range(n_epochs)]
