"""Runs that resume: `fit`, checkpoints, ablations."""

from keras_dinolm.runs.ablation import Ablation as Ablation
from keras_dinolm.runs.checkpoint import Checkpoint as Checkpoint
from keras_dinolm.runs.checkpoint import Position as Position
from keras_dinolm.runs.resume import fit as fit
from keras_dinolm.runs.state_file import CheckpointError as CheckpointError
