"""A server for classifiers: TensorFlow Serving's REST, Open Inference Protocol v2, photos, a live page."""
