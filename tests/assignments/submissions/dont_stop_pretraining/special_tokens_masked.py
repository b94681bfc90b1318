"""Special tokens and padding are masked like all others."""

LOSES = {"test_masked_epochs": "special tokens or padding are masked"}


# %% masked_epochs
def masked_epochs(ids, special_ids, mask_id, vocab_size, n_epochs, seed, rate=0.15):
    draw = torch.Generator().manual_seed(seed)
    ids = ids.expand(n_epochs, *ids.shape)
    special = torch.isin(ids, torch.tensor(special_ids))
    chosen = torch.rand(ids.shape, generator=draw) < rate
    fate = torch.rand(ids.shape, generator=draw)
    ordinary = torch.tensor(sorted(set(range(vocab_size)) - set(special_ids)))
    others = ordinary[torch.randint(len(ordinary), ids.shape, generator=draw)]
    inputs = torch.where(chosen & (fate < 0.8), mask_id, ids)
    inputs = torch.where(chosen & (fate >= 0.9), others, inputs)
    return (inputs, torch.where(chosen, ids, -100))
