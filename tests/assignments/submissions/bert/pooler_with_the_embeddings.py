"""The pooler has the rate of the embeddings, as all that is in no layer."""

LOSES = {"test_mended_groups_2": "bert.pooler.dense.weight has"}


# %% mended_groups
def mended_groups(names, n_layers, lr, decay, weight_decay):
    groups = {}
    for name in names:
        parts = name.split(".")
        if "layer" in parts:
            below = n_layers - 1 - int(parts[parts.index("layer") + 1])
        else:
            below = 0 if "classifier" in parts else n_layers
        without = parts[-1] == "bias" or "LayerNorm" in parts
        key = (lr * decay**below, 0.0 if without else weight_decay)
        groups.setdefault(key, []).append(name)
    return [(*key, members) for key, members in groups.items()]
