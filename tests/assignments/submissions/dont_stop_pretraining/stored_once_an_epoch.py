"""Texts are stored again for every epoch."""

LOSES = {"test_arm_cost": "texts are stored once"}


# %% arm_cost
def arm_cost(phases, batch_size):
    return {
        "updates": sum((epochs * math.ceil(texts / batch_size) for texts, _, epochs in phases)),
        "texts": sum((texts * epochs for texts, _, epochs in phases)),
        "bytes": sum((size * epochs for _, size, epochs in phases)),
    }
