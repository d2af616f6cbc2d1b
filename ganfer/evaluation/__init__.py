"""What `ganfer evaluate` measures and writes: the images, the figures with their intervals, the files."""
