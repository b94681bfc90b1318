"""Layers are told apart by a part of the name, so 10 and 11 are in two groups."""

LOSES = {"test_mended_groups": "'layer.1' is a part of 'layer.11'"}


# %% mended_groups
def mended_groups(names, n_layers, lr, decay, weight_decay):
    places = [f"layer.{i}" for i in reversed(range(n_layers))] + ["embeddings"]
    groups = []
    for below, place in enumerate(places):
        for name in names:
            if place in name:
                groups.append((lr * decay**below, decayed(name, weight_decay), [name]))
    for name in names:
        if "pooler" in name or "classifier" in name:
            groups.append((lr, decayed(name, weight_decay), [name]))
    return groups


def decayed(name, weight_decay):
    return 0.0 if "LayerNorm" in name or name.endswith("bias") else weight_decay
