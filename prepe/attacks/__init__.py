"""What trains a model after a concept was deleted from it: healing, and attempts to bring the concept back."""

from prepe.attacks.finetune import finetune
from prepe.attacks.heal import heal, healing_weights
from prepe.attacks.leakage import halves, leakage
from prepe.attacks.recovery import recover, split

__all__ = ["finetune", "halves", "heal", "healing_weights", "leakage", "recover", "split"]
