"""Purser's published language: one class per fact, the envelope they travel in, and the topics they travel on."""
