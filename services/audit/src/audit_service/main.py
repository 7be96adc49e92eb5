"""The audit service: where everything is wired."""

from fastapi import FastAPI

from audit_service import api, consumers, store, views
from audit_service.settings import Settings
from purser_common.settings import load
from purser_common.web import Process


def build(settings: Settings) -> FastAPI:
    """Wire the service."""
    process = Process("audit", settings, indexes=store.INDEXES)
    consumers.declare(process, store.Records(process.database))
    routes = api.router(views.Views(process.database))
    app = process.app("Purser audit service", "The append-only record of every action.", [routes])
    app.state.process = process
    return app


def main() -> None:
    """Run the service."""
    app = build(load(Settings))
    process: Process = app.state.process
    process.serve(app)


if __name__ == "__main__":
    main()
