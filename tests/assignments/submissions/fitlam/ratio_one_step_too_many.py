"""The top group is slowed down, too."""

LOSES = {"test_group_rates": "one step too many"}


# %% group_rates
def group_rates(lr_top, n_groups, ratio=0.3):
    return [lr_top * ratio ** (n_groups - group) for group in range(n_groups)]
