"""Falls as 1 - x, as in the released code: a step down where the warm-up ends."""

LOSES = {"test_warmup_rates": "the released 1 - x"}


# %% warmup_rates
def warmup_rates(n_steps, lr_max, warmup=0.1):
    rates = []
    for t in range(n_steps):
        x = t / n_steps
        share = x / warmup if x < warmup else 1 - x
        rates.append(lr_max * share)
    return rates
