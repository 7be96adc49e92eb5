"""Customers, tenants, consent and connection over HTTP."""
