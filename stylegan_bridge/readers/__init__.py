"""Readers of StyleGAN2 checkpoints, one format per file; none loads torch, and none runs what a file contains."""
