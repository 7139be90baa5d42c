"""The numbers of a run.

`results` says what they are, `results_file` writes and reads them as ``results.json``. The other files make them from
episodes: `arm_scores` (accuracy of an arm, paired tests of two), `benchmark_measures` (what the paper of a benchmark
reports), `counterfactuals` (answers after something else was shown), `evidence` (looks at annotated regions), and
`holm`, which corrects the p-values of all tests of a run.
"""
