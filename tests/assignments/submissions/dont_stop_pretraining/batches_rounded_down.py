"""A batch that is not full is left out."""

LOSES = {"test_arm_cost": "a batch that is not full is left out"}


# %% arm_cost
def arm_cost(phases, batch_size):
    return {
        "updates": sum((epochs * (texts // batch_size) for texts, _, epochs in phases)),
        "texts": sum((texts for texts, _, _ in phases)),
        "bytes": sum((size for _, size, _ in phases)),
    }
