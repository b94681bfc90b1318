"""The head is not pulled, but learns at lambda times its rate."""

LOSES = {"test_recadam_model_step": "the head learns at lambda"}


# %% recadam_model_step
def recadam_model_step(weights, old, grads, averages, t, lr, target_weight, gamma):
    moved, new = {}, {}
    for name, weight in weights.items():
        theirs = old.get(name, weight)
        if theirs.shape != weight.shape:
            raise ValueError(name)
        pull = gamma if name in old else 0.0
        step = recadam_step(
            weight, theirs, grads[name], *averages[name], t, lr, target_weight, pull
        )
        moved[name], new[name] = step[0], step[1:]
    return moved, new
