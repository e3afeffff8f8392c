"""Importers of results that others have released: each reads one form into a long table with explicit ids."""
