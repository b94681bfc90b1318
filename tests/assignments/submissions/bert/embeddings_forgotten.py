"""The embeddings are in no group."""

LOSES = {"test_mended_groups": "the embeddings are in no group"}


# %% mended_groups
def mended_groups(names, n_layers, lr, decay, weight_decay):
    groups = {}
    for name in names:
        if "embeddings" in name:
            continue
        parts = name.split(".")
        if "layer" in parts:
            below = n_layers - 1 - int(parts[parts.index("layer") + 1])
        else:
            below = n_layers if "embeddings" in parts else 0
        without = parts[-1] == "bias" or "LayerNorm" in parts
        key = (lr * decay**below, 0.0 if without else weight_decay)
        groups.setdefault(key, []).append(name)
    return [(*key, members) for key, members in groups.items()]
