"""Options proposed for a study, judged by its folder: split, clip length, lag, version of runs."""
