"""The ratio divides on the way down: the embedding runs away."""

LOSES = {"test_group_rates": "multiplied upward"}


# %% group_rates
def group_rates(lr_top, n_groups, ratio=0.3):
    return [lr_top / ratio ** (n_groups - 1 - group) for group in range(n_groups)]
