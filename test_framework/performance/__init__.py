"""Measuring tests and what they use."""
