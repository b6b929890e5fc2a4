"""Hypothesis strategies shared by the tests. One section per module."""
