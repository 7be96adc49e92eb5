"""Decisions about licence change requests: state in, new state and facts out."""
