"""Published claims, and how a study answers them."""

from cnn.ablation.claims import published
from cnn.ablation.claims.claim import CLAIMS, Claim, Statement, register

__all__ = ["CLAIMS", "Claim", "Statement", "published", "register"]
