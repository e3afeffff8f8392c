"""Frozen pydantic models of everything that is specified or stored. No I/O, no other room."""
