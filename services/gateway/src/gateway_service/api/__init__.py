"""The public API: who is calling, what is passed on, and what the gateway answers itself."""
