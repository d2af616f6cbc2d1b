"""Training losses over weighted soft targets: row i of `targets` (B, K) sums to the weight of sample i."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# (logits (B, K), targets (B, K)) -> weighted loss (B,); a batch's loss is their sum over the targets' sum.
Loss = Callable[[Tensor, Tensor], Tensor]


def make_loss(
    name: str,
    counts: np.ndarray,
    device: torch.device,
    *,
    focal_gamma: float = 2.0,
    logit_tau: float = 1.0,
    ldam_margin: float = 1.0,
) -> Loss:
    """The loss by name. `counts` are the training images per class (by weight); logit adjustment's prior is theirs."""
    if name == "logit-adjusted":
        # Menon et al. 2021: training with logits + tau log(prior) makes the plain logits the balanced classifier's.
        shift = _log_prior(counts, device, logit_tau)
        return lambda logits, targets: _cross_entropy(logits + shift, targets)
    if name == "focal":
        return lambda logits, targets: _focal(logits, targets, focal_gamma)
    if name == "ldam":
        margins = torch.as_tensor(counts, dtype=torch.float32, device=device).clamp_min(1).pow(-0.25)
        margins = margins * (ldam_margin / margins.max())
        return lambda logits, targets: _ldam(logits, targets, margins)
    return _l2_svm if name == "l2-svm" else _cross_entropy


def smoothing_shares(name: str, counts: np.ndarray, device: torch.device, *, logit_tau: float = 1.0) -> Tensor:
    """(K,) float32, summing to 1: what `smooth` moves a target towards, so that the plain logits say "any class alike".

    That is the uniform distribution, but with logit adjustment the prior (to the power tau): the adjusted logits of an
    even spread would have to put a class of 1% on a level with one of 30%, and call every unclear image the rare class.
    """
    if name == "logit-adjusted":
        return _log_prior(counts, device, logit_tau).softmax(0)
    return torch.full((len(counts),), 1 / len(counts), device=device)


def _log_prior(counts: np.ndarray, device: torch.device, tau: float) -> Tensor:
    number = torch.as_tensor(counts, dtype=torch.float32, device=device).clamp_min(1)
    return tau * (number / number.sum()).log()


def balanced_class_weights(counts: np.ndarray) -> np.ndarray:
    """n / (K n_c) over the classes that have images, scikit-learn's "balanced"; 0 for the others."""
    present = counts > 0
    return np.where(present, counts.sum() / (present.sum() * np.maximum(counts, 1)), 0.0).astype(np.float32)


def smooth(targets: Tensor, amount: float, shares: Tensor) -> Tensor:
    """Label smoothing: move `amount` of each row to the distribution `shares` (K,); the row's sum stays."""
    return targets if amount == 0 else torch.lerp(targets, targets.sum(1, keepdim=True) * shares, amount)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * F.log_softmax(logits, 1)).sum(1)


def _focal(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """Lin et al. 2017, over soft targets: each class's term is damped by (1 - p)^gamma."""
    log_p = F.log_softmax(logits, 1)
    # The clamp keeps the power's gradient finite where p rounds to 1.
    return -(targets * (1 - log_p.exp()).clamp_min(1e-6).pow(gamma) * log_p).sum(1)


def _ldam(logits: Tensor, targets: Tensor, margins: Tensor) -> Tensor:
    """Cao et al. 2019: each class's own logit is lowered by its margin (K,), which grows with n^(-1/4) for rare ones.

    On the logits as they are, not on normalised features; a soft target weighs the classes' terms.
    """
    own = torch.diag_embed(margins.expand_as(logits))  # (B, K, K): row k lowers logit k
    log_p = (logits.unsqueeze(1) - own).log_softmax(2).diagonal(dim1=1, dim2=2)
    return -(targets * log_p).sum(1)


def _l2_svm(logits: Tensor, targets: Tensor) -> Tensor:
    """Tang 2013: one-versus-rest squared hinge; a soft target weighs the two sides of each class."""
    weight = targets.sum(1)
    share = targets / weight.clamp_min(1e-12).unsqueeze(1)
    hinge = share * (1 - logits).clamp_min(0).square() + (1 - share) * (1 + logits).clamp_min(0).square()
    return weight * hinge.sum(1)
