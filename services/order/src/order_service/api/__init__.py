"""HTTP in."""

from collections.abc import Callable

from fastapi import APIRouter

from order_service.api import internal, requests, reviews, spend_caps, store_items
from order_service.commands.browsing import Shop
from order_service.commands.requesting import Desk
from order_service.commands.spending import Purse
from order_service.commands.sweeping import Post
from order_service.views import Views


def router(
    desk: Desk,
    post: Post,
    purse: Purse,
    shop: Shop,
    views: Views,
    on_request: Callable[[], None],
) -> APIRouter:
    """The order service's routes."""
    routes = APIRouter()
    requests.add(routes, desk, views, on_request)
    reviews.add(routes, desk, post, views, on_request)
    spend_caps.add(routes, purse)
    store_items.add(routes, shop)
    internal.add(routes, views)
    return routes
