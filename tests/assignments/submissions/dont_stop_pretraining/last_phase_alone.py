"""The last phase alone is counted."""

LOSES = {"test_arm_cost": "the last phase alone"}


# %% arm_cost
def arm_cost(phases, batch_size):
    cost = {"updates": 0, "texts": 0, "bytes": 0}
    for texts, size, epochs in phases:
        cost = {"updates": epochs * math.ceil(texts / batch_size), "texts": texts, "bytes": size}
    return cost
