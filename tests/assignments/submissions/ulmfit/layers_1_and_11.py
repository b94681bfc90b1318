"""Layers are told apart by a substring: layers.1 takes layers.10 and layers.11, too."""

LOSES = {"test_parameter_groups": "mixed up"}


# %% parameter_groups
def parameter_groups(parameters, n_layers, lr_top, ratio=2.6):
    groups, seen = [[] for _ in range(n_layers + 1)], set()
    for name, tensor in parameters.items():
        if tensor not in seen:
            seen.add(tensor)
            fits = [i for i in range(n_layers) if name.startswith(f"layers.{i}")]
            groups[fits[0] if fits else n_layers].append(name)
    return [(names, lr_top / ratio ** (n_layers - i)) for i, names in enumerate(groups)]
