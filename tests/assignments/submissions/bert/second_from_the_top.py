"""The top layer alone is looked for from above; -2 gives the layer below the right one."""

LOSES = {"test_layer_feature": "layer -2"}


# %% layer_feature
def layer_feature(hidden_states, layers, how):
    numbers = [-1 if layer == -1 else layer + 1 if layer >= 0 else layer - 1 for layer in layers]
    states = torch.stack([hidden_states[number][:, 0] for number in numbers])
    if how == "concat":
        return states.transpose(0, 1).flatten(1)
    return states.mean(dim=0) if how == "mean" else states.amax(dim=0)
