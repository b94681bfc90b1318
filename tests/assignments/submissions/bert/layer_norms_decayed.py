"""Layer norms are looked for by their old names, so they get weight decay."""

LOSES = {"test_mended_groups_2": "layer norms get weight decay"}


# %% mended_groups
def mended_groups(names, n_layers, lr, decay, weight_decay):
    groups = {}
    for name in names:
        parts = name.split(".")
        if "layer" in parts:
            below = n_layers - 1 - int(parts[parts.index("layer") + 1])
        else:
            below = n_layers if "embeddings" in parts else 0
        without = parts[-1] == "bias" or parts[-1] in ("gamma", "beta")
        key = (lr * decay**below, 0.0 if without else weight_decay)
        groups.setdefault(key, []).append(name)
    return [(*key, members) for key, members in groups.items()]
