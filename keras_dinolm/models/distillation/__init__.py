"""Students, their teachers, and how one learns from the other."""
