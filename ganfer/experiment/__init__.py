"""The parts of the experiment that `ganfer.experiment.retrain` runs, in the order in which they take part.

`preflight` refuses what cannot be measured and finds leaks; `faces` are the synthetic images that may be trained on;
`budget` says how long it takes; `select` chooses how many on validation; `arms` makes each arm's training data;
`trainings` trains them; `comparisons` and `groups` hold what `ganfer.statistics` needs to be told;
`operating_point` asks what is left of a gain when every arm's thresholds are moved alike;
`findings`, `showcase` and `board` write down what came out. `crossfold` does all of it once per outer fold.
"""
