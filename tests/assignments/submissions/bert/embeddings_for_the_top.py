"""The layer's number plus 1 is taken, so -1 gives the embeddings."""

LOSES = {"test_layer_feature": "layer -1 gives the embeddings"}


# %% layer_feature
def layer_feature(hidden_states, layers, how):
    states = torch.stack([hidden_states[layer + 1][:, 0] for layer in layers])
    if how == "concat":
        return states.transpose(0, 1).flatten(1)
    return states.mean(dim=0) if how == "mean" else states.amax(dim=0)
