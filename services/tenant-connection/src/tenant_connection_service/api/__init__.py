"""Customers, tenants, consent, connection and bulk over HTTP."""

from fastapi import APIRouter

from tenant_connection_service.api import (
    bulk,
    callback,
    connections,
    consent,
    customers,
    internal,
    tenants,
)
from tenant_connection_service.commands.ports import Office
from tenant_connection_service.views import Views


def router(office: Office, views: Views) -> APIRouter:
    """The tenant-connection service's routes."""
    routes = APIRouter()
    customers.add(routes, office, views)
    tenants.add(routes, office, views)
    consent.add(routes, office)
    connections.add(routes, office)
    bulk.add(routes, office)
    callback.add(routes, office)
    internal.add(routes, views)
    return routes
