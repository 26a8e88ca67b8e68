"""The parts of `benchmarks/distill.py`."""
