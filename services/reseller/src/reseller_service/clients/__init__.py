"""Calls to others: the marketplace."""
