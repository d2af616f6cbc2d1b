"""A person looks, decides and corrects: synthetic faces, doubtful labels, the experiment's reports, a blind test.

`decisions` is the log that a person's decisions are written to at once (a `journal`; `exchange` takes it in and out),
and `effect` what they change for training; `wall` is a set of images with what is known of them, made by `faces` from a
labelled batch and by `doubts` from an audit of the labels (`audit`, by `confident` learning; `elsewhere` and
`predictions` for somebody else's data); `thumbs` has their small pictures. `blind` mixes real and made faces, `past`
shows reports and a GAN's snapshots. `desk` opens these for the routes in `app`, `server` listens, `stage` is the
command. Read in that order.
"""
