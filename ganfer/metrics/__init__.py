"""Measures of synthetic images: pure functions of arrays."""
