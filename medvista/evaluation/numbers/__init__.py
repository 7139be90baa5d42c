"""The numbers of a run: scores, intervals, paired tests, counterfactuals, and the file that holds them."""
