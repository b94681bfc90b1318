"""Every chosen token is shown as [MASK]."""

LOSES = {"test_masked_epochs_2": "every chosen token becomes [MASK]"}


# %% masked_epochs
def masked_epochs(ids, special_ids, mask_id, vocab_size, n_epochs, seed, rate=0.15):
    draw = torch.Generator().manual_seed(seed)
    ids = ids.expand(n_epochs, *ids.shape)
    special = torch.isin(ids, torch.tensor(special_ids))
    chosen = (torch.rand(ids.shape, generator=draw) < rate) & ~special
    fate = torch.rand(ids.shape, generator=draw)
    ordinary = torch.tensor(sorted(set(range(vocab_size)) - set(special_ids)))
    others = ordinary[torch.randint(len(ordinary), ids.shape, generator=draw)]
    inputs = torch.where(chosen, mask_id, ids)
    return (inputs, torch.where(chosen, ids, -100))
