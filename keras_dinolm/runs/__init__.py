"""Runs that resume: `fit`, checkpoints, ablations."""

from keras_dinolm.runs.ablation import Ablation
from keras_dinolm.runs.checkpoint import Checkpoint
from keras_dinolm.runs.checkpoint import Position
from keras_dinolm.runs.resume import fit
from keras_dinolm.runs.state_file import CheckpointError

__all__ = [
    "Ablation",
    "Checkpoint",
    "CheckpointError",
    "Position",
    "fit",
]
