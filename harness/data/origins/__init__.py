"""Where files come from: one small client (`base.Client`) for each kind of origin."""
