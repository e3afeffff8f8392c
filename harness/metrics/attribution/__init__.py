"""Metrics of attribution maps: how faithful, robust, simple, well placed and sensitive to the model they are.

Importing this loads no torch; calling a metric does.
"""

from harness.metrics.attribution.base import MapMetric
from harness.metrics.attribution.explanations import Explanations
from harness.metrics.attribution.registry import METRICS, ORDERS, make_metric

__all__ = ["METRICS", "ORDERS", "MapMetric", "Explanations", "make_metric"]
