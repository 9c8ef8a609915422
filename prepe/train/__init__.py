"""Training: a `Training` and seeds in; trained members, their history and their costs out."""

from prepe.train.device import arithmetic, choose_device
from prepe.train.feed import label_counts, share
from prepe.train.loop import Report, shape, train, train_pack
from prepe.train.record import Checkpoint, Trained
from prepe.train.update import State, Update, corrections

__all__ = [
    "Checkpoint",
    "Report",
    "State",
    "Trained",
    "Update",
    "arithmetic",
    "choose_device",
    "corrections",
    "label_counts",
    "shape",
    "share",
    "train",
    "train_pack",
]
