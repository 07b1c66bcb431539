"""Measurements: each compares two things in one run, since machines are shared and noisy."""
