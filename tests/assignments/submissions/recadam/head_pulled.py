"""The head is pulled to zeros."""

LOSES = {"test_recadam_model_step": "the head is pulled"}


# %% recadam_model_step
def recadam_model_step(weights, old, grads, averages, t, lr, target_weight, gamma):
    moved, new = {}, {}
    for name, weight in weights.items():
        theirs = old.get(name, torch.zeros_like(weight))
        if theirs.shape != weight.shape:
            raise ValueError(name)
        step = recadam_step(
            weight, theirs, grads[name], *averages[name], t, lr, target_weight, gamma
        )
        moved[name], new[name] = step[0], step[1:]
    return moved, new
