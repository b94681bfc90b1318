"""The decoder is left out by its name, also where it is a tensor of its own."""

LOSES = {"test_parameter_groups": "an untied decoder"}


# %% parameter_groups
def parameter_groups(parameters, n_layers, lr_top, ratio=2.6):
    groups = [[] for _ in range(n_layers + 1)]
    for name in parameters:
        parts = name.split(".")
        if name != "decoder.weight":
            groups[int(parts[1]) if parts[0] == "layers" else n_layers].append(name)
    return [(names, lr_top / ratio ** (n_layers - i)) for i, names in enumerate(groups)]
