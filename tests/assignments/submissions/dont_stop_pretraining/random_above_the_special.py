"""Random tokens are drawn above the special ones, as if those came first."""

LOSES = {"test_masked_epochs_2": "their ids need not be the first"}


# %% masked_epochs
def masked_epochs(ids, special_ids, mask_id, vocab_size, n_epochs, seed, rate=0.15):
    draw = torch.Generator().manual_seed(seed)
    ids = ids.expand(n_epochs, *ids.shape)
    special = torch.isin(ids, torch.tensor(special_ids))
    chosen = (torch.rand(ids.shape, generator=draw) < rate) & ~special
    fate = torch.rand(ids.shape, generator=draw)
    others = torch.randint(len(special_ids), vocab_size, ids.shape, generator=draw)
    inputs = torch.where(chosen & (fate < 0.8), mask_id, ids)
    inputs = torch.where(chosen & (fate >= 0.9), others, inputs)
    return inputs, torch.where(chosen, ids, -100)
