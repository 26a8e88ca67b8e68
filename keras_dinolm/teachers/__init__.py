"""Fixed encoders to learn from, each behind the same interface.

Importing this imports no framework.
"""

from keras_dinolm.teachers.get import get
from keras_dinolm.teachers.pieces import plain_pieces
from keras_dinolm.teachers.teacher import Teacher

__all__ = ["Teacher", "get", "plain_pieces"]
