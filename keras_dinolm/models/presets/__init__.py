"""Folders from which encoders are loaded again."""
