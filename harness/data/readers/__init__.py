"""Samples out of files: one generic reader a layout, chosen by what a data set's manifest says."""
