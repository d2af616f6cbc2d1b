"""A server for classifiers: TensorFlow Serving's REST, Open Inference Protocol v2, photos, a live page.

`command` starts `server`, which runs `app`, the routes. `store` holds the models, `backend` computes, `batching`
joins the images of many clients, `guard` decides who may ask, `service` is what all routes share (with `errors` and
`metrics`). The routes: `tfserving`, `inference` (with `tensors`), `photos`, `pages`, described in `schemas`; `pixels`
and `pictures` read what they are sent, once `weighing` has found that it fits into memory.
"""
