"""Slow, obviously right implementations that the tests compare with. One section per module."""
