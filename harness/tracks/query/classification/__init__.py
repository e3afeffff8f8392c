"""Pools of images that are labelled one by one, after Lüth et al. 2023 (realistic-al)."""
