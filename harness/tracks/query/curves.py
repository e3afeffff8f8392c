"""Names of the curves that an entry of a query board carries beside its columns."""

CURVES, FOREGROUND, BUDGETS, EFFICIENCY = "_curves.", "_foreground.", "_budgets.", "_efficiency."
"""Arrays of an entry by study, beside its columns: performance (seeds, loops) and annotated share of the foreground
(seeds, loops) with seeds in ascending order, annotated patches or images (loops,), and efficiency (1,)."""
PERFORMANCE = {"dice": "mean Dice", "accuracy": "accuracy", "balanced-accuracy": "balanced accuracy"}
