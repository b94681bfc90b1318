"""Unfrozen from the bottom up."""

LOSES = {"test_open_groups": "the wrong end"}


# %% open_groups
def open_groups(n_groups, n_epochs):
    return [list(range(min(n_groups, epoch + 1))) for epoch in range(n_epochs)]
