"""The experiment: the same classifier with and without the synthetic faces, and what may be said of the difference.

Read it in the order in which it happens. `retrain` is the way through. `arms` lists the ways of training; `builds`
makes each one's data out of the `material` (with `placebos`, `portions`, `cleaned` labels, the `ways` to learn from
faces, and the weights that trainings start from, `starts`). `plan` lists every training before the first one, in
stages. `prepare` checks the data (`preflight`), takes the `faces`, those of the pool (`retrieval`) and of later passes
(`fresh`), divides them (`ratios`) and says how long it takes (`budget`). `trainings` trains a stage; `select` chooses
on validation what the next one needs, `original` gives what arms need of the original's models, and `ceiling` says
early whether there is hope.
`read` looks at the test split, once everything is chosen; `fitted` moves thresholds. `findings` writes it down, with
`comparisons`, `groups`, `operating_point`, `unfinished`, `recommend`, `showcase` and `history`; `best` keeps the
recommended classifier and `board` writes for TensorBoard. `crossfold` does it once per outer fold, `pooled` reads them.
"""
