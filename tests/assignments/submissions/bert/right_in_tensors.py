"""All right, written with tensors."""

LOSES: dict[str, str] = {}


# %% framed
def framed(ids, max_length, n_head, cls_id, sep_id):
    text = torch.tensor(ids, dtype=torch.long)
    room = max_length - 2
    if len(text) > room:
        places = torch.arange(room)
        text = text[torch.where(places < n_head, places, places + len(text) - room)]
    frame = torch.tensor([cls_id, sep_id])
    return torch.cat([frame[:1], text, frame[1:]]).tolist()


# %% in_pieces
def in_pieces(ids, n):
    if not ids:
        return [[]]
    return [piece.tolist() for piece in torch.tensor(ids).split(n)]


def combine_pieces(states, is_piece, how):
    weights = is_piece.to(states.dtype)
    if how == "mean":
        weights = weights / weights.sum(1, keepdim=True)
        return torch.einsum("bk,bkh->bh", weights, states)
    lowest = torch.finfo(states.dtype).min
    return torch.where(is_piece.unsqueeze(2), states, lowest).max(dim=1).values


# %% layer_feature
def layer_feature(hidden_states, layers, how):
    stacked = torch.stack(hidden_states)[1:, :, 0][layers]  # (layers, B, H)
    if how == "mean":
        return stacked.mean(0)
    if how == "max":
        return stacked.max(0)[0]
    return stacked.permute(1, 0, 2).reshape(stacked.shape[1], -1)


# %% warmup_rates
def warmup_rates(n_steps, lr_max, warmup=0.1):
    x = torch.arange(n_steps, dtype=torch.float64) / n_steps
    rising = x / warmup if warmup else torch.ones_like(x)
    return (lr_max * torch.minimum(rising, (1 - x) / (1 - warmup))).tolist()


# %% mended_groups
def mended_groups(names, n_layers, lr, decay, weight_decay):
    of_layers = [("embeddings.", n_layers)]
    of_layers += [(f".layer.{i}.", n_layers - 1 - i) for i in range(n_layers)]
    groups = []
    for plain in (True, False):

        def members(keep):
            return [
                n for n in names if keep(n) and plain == (n.endswith("bias") or "LayerNorm" in n)
            ]

        wd = 0.0 if plain else weight_decay
        for part, below in of_layers:
            groups.append((lr * decay**below, wd, members(lambda n: part in n)))
        groups.append((lr, wd, members(lambda n: not any(part in n for part, _ in of_layers))))
    return groups


# %% selection_study
def selection_study(x, y, seeds, n_train, n_valid, n_epochs):
    results = []
    for seed in seeds:
        order = torch.randperm(x.size(0), generator=torch.Generator().manual_seed(seed))
        train, valid, test = torch.tensor_split(order, [n_train, n_train + n_valid])
        path = head_path(x[train], y[train], int(y.max() + 1), n_epochs)
        right = (torch.einsum("nf,efc->enc", x, path).argmax(-1) == y).double()
        on_valid, on_test = right[:, valid].mean(1), right[:, test].mean(1)
        chosen = next(i for i, v in enumerate(on_valid) if v == on_valid.max())
        results.append((on_test[chosen].item(), on_test.max().item()))
    return results
