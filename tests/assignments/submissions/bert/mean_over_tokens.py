"""The mean of all tokens' states in place of that of [CLS]."""

LOSES = {"test_layer_feature": "the mean over all tokens"}


# %% layer_feature
def layer_feature(hidden_states, layers, how):
    of_layers = hidden_states[1:]
    states = torch.stack([of_layers[layer].mean(dim=1) for layer in layers])
    if how == "concat":
        return states.transpose(0, 1).flatten(1)
    return states.mean(dim=0) if how == "mean" else states.amax(dim=0)
