"""The buggy run handed in as it is."""

LOSES = {"test_mended_run": "gradients add up over the steps, and nothing pulls"}


# %% mended_run
def mended_run(start, target, lr, gamma, n_steps):
    return buggy_run(start, target, lr, gamma, n_steps)
