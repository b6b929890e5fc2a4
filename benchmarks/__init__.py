"""Side-by-side runs against peers; raw rows go to ``benchmarks/results``."""
