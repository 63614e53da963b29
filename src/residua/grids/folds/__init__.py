"""Cross-validation: a run per fold, every image judged by the run that has not learnt from it."""
