"""Where documents come from: files, installed packages, any iterable."""
