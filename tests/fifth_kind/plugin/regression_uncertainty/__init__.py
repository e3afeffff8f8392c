"""A kind of method that the harness does not know: uncertainty scores of regression models."""

from regression_uncertainty.declaration import uncertainty_score

__all__ = ["uncertainty_score"]
