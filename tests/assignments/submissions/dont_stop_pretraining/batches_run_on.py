"""Batches run on from epoch to epoch."""

LOSES = {"test_arm_cost": "batches run on from epoch to epoch"}


# %% arm_cost
def arm_cost(phases, batch_size):
    return {
        "updates": sum((math.ceil(epochs * texts / batch_size) for texts, _, epochs in phases)),
        "texts": sum((texts for texts, _, _ in phases)),
        "bytes": sum((size for _, size, _ in phases)),
    }
