"""Old values of another shape are broadcast."""

LOSES = {"test_recadam_model_step": "stretched silently"}


# %% recadam_model_step
def recadam_model_step(weights, old, grads, averages, t, lr, target_weight, gamma):
    moved, new = {}, {}
    for name, weight in weights.items():
        theirs, share = (old[name], target_weight) if name in old else (weight, 1.0)
        step = recadam_step(weight, theirs, grads[name], *averages[name], t, lr, share, gamma)
        moved[name], new[name] = step[0], step[1:]
    return moved, new
