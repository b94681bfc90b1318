"""The embedding gets the top rate."""

LOSES = {"test_group_rates": "the wrong direction"}


# %% group_rates
def group_rates(lr_top, n_groups, ratio=0.3):
    return [lr_top * ratio**group for group in range(n_groups)]
