"""Padding is filled with zeros before the maximum, which beat negative states."""

LOSES = {"test_concat_pool": "padding of zeros wins against negative states"}


# %% concat_pool
def concat_pool(hidden, mask):
    hidden = hidden * mask.unsqueeze(-1)
    last = (mask * torch.arange(mask.shape[1])).argmax(dim=1)
    mean = hidden.sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return torch.cat([hidden[torch.arange(len(last)), last], hidden.amax(dim=1), mean], dim=1)
