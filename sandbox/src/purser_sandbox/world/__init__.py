"""The state behind the stand-ins: accounts, catalogue, subscriptions, orders."""
