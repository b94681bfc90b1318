"""gamma * (p - p*) is added to the gradient, and goes through Adam's averages."""

LOSES = {
    "test_recadam_step": "goes through Adam's averages",
    "test_recadam_step_2": "m is 0.1 * 0.2",
}


# %% recadam_step
def recadam_step(
    weight, old, grad, m, v, t, lr, target_weight, gamma, betas=(0.9, 0.999), eps=1e-6
):
    grad = target_weight * grad + (1 - target_weight) * gamma * (weight - old)
    m = betas[0] * m + (1 - betas[0]) * grad
    v = betas[1] * v + (1 - betas[1]) * grad**2
    step = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    return weight - step * m / (v.sqrt() + eps), m, v
