"""The pull uses the absolute distance, and pushes weights below their old value away."""

LOSES = {"test_recadam_step": "pushed away"}


# %% recadam_step
def recadam_step(
    weight, old, grad, m, v, t, lr, target_weight, gamma, betas=(0.9, 0.999), eps=1e-6
):
    m = betas[0] * m + (1 - betas[0]) * grad
    v = betas[1] * v + (1 - betas[1]) * grad**2
    step = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    weight = weight - step * target_weight * m / (v.sqrt() + eps)
    return weight - lr * (1 - target_weight) * gamma * (weight - old).abs(), m, v
