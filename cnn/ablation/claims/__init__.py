"""Published claims, and what a study answers to them."""

from cnn.ablation.claims import published
from cnn.ablation.claims.claim import CLAIMS, Claim, Statement, register

__all__ = ["CLAIMS", "Claim", "Statement", "published", "register"]
