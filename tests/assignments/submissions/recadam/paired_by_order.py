"""Old and new weights are paired by their order."""

LOSES = {"test_recadam_model_step": "paired by their order"}


# %% recadam_model_step
def recadam_model_step(weights, old, grads, averages, t, lr, target_weight, gamma):
    moved, new, theirs = {}, {}, list(old.values())
    for i, (name, weight) in enumerate(weights.items()):
        known = i < len(theirs)
        step = recadam_step(
            weight,
            theirs[i] if known else weight,
            grads[name],
            *averages[name],
            t,
            lr,
            target_weight if known else 1.0,
            gamma,
        )
        moved[name], new[name] = step[0], step[1:]
    return moved, new
