"""All right, in plain loops over lists, with a helper in a cell of its own."""

LOSES: dict[str, str] = {}


# %%
import re


def layer_of(name):
    """The number of the layer that a parameter belongs to, or None."""
    found = re.search(r"\.layer\.(\d+)\.", name)
    return None if found is None else int(found.group(1))


print(layer_of("bert.encoder.layer.11.output.dense.bias"))


# %% framed
def framed(ids, max_length, n_head, cls_id, sep_id):
    surplus = len(ids) - (max_length - 2)
    kept = []
    for position, token in enumerate(ids):
        if surplus <= 0 or position < n_head or position >= n_head + surplus:
            kept.append(token)
    return [cls_id] + kept + [sep_id]


# %% in_pieces
def in_pieces(ids, n):
    pieces = [[]]
    for token in ids:
        if len(pieces[-1]) == n:
            pieces.append([])
        pieces[-1].append(token)
    return pieces


def combine_pieces(states, is_piece, how):
    rows = []
    for row, real in zip(states, is_piece):
        pieces = row[real]
        rows.append(pieces.mean(0) if how == "mean" else pieces.max(0).values)
    return torch.stack(rows)


# %% layer_feature
def layer_feature(hidden_states, layers, how):
    top = len(hidden_states) - 1
    firsts = []
    for layer in layers:
        number = layer if layer >= 0 else top + layer
        firsts.append(hidden_states[number + 1][:, 0, :])
    if how == "concat":
        return torch.cat(firsts, dim=1)
    if how == "mean":
        return sum(firsts) / len(firsts)
    most = firsts[0]
    for other in firsts[1:]:
        most = torch.maximum(most, other)
    return most


# %% warmup_rates
def warmup_rates(n_steps, lr_max, warmup=0.1):
    top = warmup * n_steps
    rising = [lr_max * t / top for t in range(n_steps) if t < top]
    falling = [lr_max * (n_steps - t) / (n_steps - top) for t in range(len(rising), n_steps)]
    return rising + falling


# %% mended_groups
def mended_groups(names, n_layers, lr, decay, weight_decay):
    groups = []
    for name in names:
        layer = layer_of(name)
        if layer is not None:
            rate = lr
            for _ in range(layer + 1, n_layers):
                rate *= decay
        elif ".embeddings." in name:
            rate = lr * decay**n_layers
        else:
            rate = lr
        without = name.endswith(".bias") or ".LayerNorm." in name
        groups.append((rate, 0 if without else weight_decay, [name]))
    return groups


# %% selection_study
def selection_study(x, y, seeds, n_train, n_valid, n_epochs):
    results = []
    for seed in seeds:
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed)).tolist()
        train, valid = order[:n_train], order[n_train : n_train + n_valid]
        test = order[n_train + n_valid :]
        best_valid, chosen, best = -1.0, None, 0.0
        for head in head_path(x[train], y[train], len(y.unique()), n_epochs):
            on_test = accuracy(head, x[test], y[test])
            best = max(best, on_test)
            if accuracy(head, x[valid], y[valid]) > best_valid:
                best_valid, chosen = accuracy(head, x[valid], y[valid]), on_test
        results.append((chosen, best))
    return results
