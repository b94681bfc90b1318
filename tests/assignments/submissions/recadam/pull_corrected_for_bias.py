"""The pull has Adam's bias-corrected step size."""

LOSES = {"test_recadam_step": "corrected for bias", "test_recadam_step_2": "0.97025075"}


# %% recadam_step
def recadam_step(
    weight, old, grad, m, v, t, lr, target_weight, gamma, betas=(0.9, 0.999), eps=1e-6
):
    m = betas[0] * m + (1 - betas[0]) * grad
    v = betas[1] * v + (1 - betas[1]) * grad**2
    step = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    weight = weight - step * target_weight * m / (v.sqrt() + eps)
    return weight - step * (1 - target_weight) * gamma * (weight - old), m, v
