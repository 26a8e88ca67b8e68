"""What `benchmarks/self_distillation.py` is made of."""
