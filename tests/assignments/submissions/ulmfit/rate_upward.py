"""Divided by 2.6 on the way up: the embedding's side is the fastest."""

LOSES = {"test_parameter_groups": "the wrong direction"}


# %% parameter_groups
def parameter_groups(parameters, n_layers, lr_top, ratio=2.6):
    groups, seen = [[] for _ in range(n_layers + 1)], set()
    for name, tensor in parameters.items():
        if tensor not in seen:
            seen.add(tensor)
            parts = name.split(".")
            groups[int(parts[1]) if parts[0] == "layers" else n_layers].append(name)
    return [(names, lr_top / ratio**i) for i, names in enumerate(groups)]
