"""The gain is measured against the worse direction."""

LOSES = {"test_ensemble_study": "a sceptic asks about the better"}


# %% ensemble_study
def ensemble_study(forward, backward, labels):
    def errors(p):
        return 100 * (p.argmax(dim=2) != labels).double().mean(dim=1)

    one, other, both = errors(forward), errors(backward), errors(forward + backward)
    gains = (one if one.mean() > other.mean() else other) - both
    differ = (forward.argmax(dim=2) != backward.argmax(dim=2)).double().mean()
    return {
        "forward": one.mean().item(),
        "backward": other.mean().item(),
        "both": both.mean().item(),
        "disagreement": 100 * differ.item(),
        "gain": gains.mean().item(),
        "standard_error": gains.std().item() / math.sqrt(len(gains)),
    }
