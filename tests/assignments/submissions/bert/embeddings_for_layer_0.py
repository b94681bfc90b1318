"""The list is indexed by the layer's number, so layer 0 gives the embeddings."""

LOSES = {"test_layer_feature": "layer 0 gives the embeddings"}


# %% layer_feature
def layer_feature(hidden_states, layers, how):
    of_layers = hidden_states
    states = torch.stack([of_layers[layer][:, 0] for layer in layers])
    if how == "concat":
        return states.transpose(0, 1).flatten(1)
    return states.mean(dim=0) if how == "mean" else states.amax(dim=0)
