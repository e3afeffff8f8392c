"""Segmentation: patches of volumes are annotated, and nnU-Net is trained on them."""
