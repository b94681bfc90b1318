"""The decoder is left out whole, its bias included."""

LOSES = {"test_parameter_groups": "decoder.bias is in no group"}


# %% parameter_groups
def parameter_groups(parameters, n_layers, lr_top, ratio=2.6):
    groups = [[n for n in parameters if n.startswith(f"layers.{i}.")] for i in range(n_layers)]
    groups.append(["embedding.weight"])
    return [(names, lr_top / ratio ** (n_layers - i)) for i, names in enumerate(groups)]
