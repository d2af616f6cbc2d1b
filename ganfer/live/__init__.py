"""Faces in the wild: detection, alignment, expressions, tracking, attention; for photos, video and a live page."""
