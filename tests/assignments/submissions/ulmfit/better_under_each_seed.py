"""Under every seed the gain is over the direction that is better there."""

LOSES = {"test_ensemble_study": "take the one that is better on average"}


# %% ensemble_study
def ensemble_study(forward, backward, labels):
    def errors(p):
        return 100 * (p.argmax(dim=2) != labels).double().mean(dim=1)

    one, other, both = errors(forward), errors(backward), errors((forward + backward) / 2)
    gains = torch.minimum(one, other) - both
    differ = (forward.argmax(dim=2) != backward.argmax(dim=2)).double().mean()
    return {
        "forward": one.mean().item(),
        "backward": other.mean().item(),
        "both": both.mean().item(),
        "disagreement": 100 * differ.item(),
        "gain": gains.mean().item(),
        "standard_error": gains.std().item() / math.sqrt(len(gains)),
    }
