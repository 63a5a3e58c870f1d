"""The API: HTTP in front of the store. Never imports torch."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool

from distillery.api import docs, metrics, openapi, problems
from distillery.api.collector import StoreCollector
from distillery.api.config import ApiSettings
from distillery.api.dashboard import dashboard
from distillery.api.deps import connect
from distillery.api.middleware.access_log import AccessLogMiddleware
from distillery.api.middleware.security import SecurityMiddleware
from distillery.api.routes import (
    artifacts,
    datasets,
    events,
    health,
    jobs,
    keys,
    methods,
    models,
    retention,
    uploads,
)
from distillery.broker.depth import notifications_waiting
from distillery.broker.notify import notify
from distillery.store.config import StoreSettings
from distillery.telemetry import traces

V1 = (uploads, models, datasets, jobs, events, artifacts, methods, keys, retention, health)


def create_app(
    settings: ApiSettings | None = None,
    store: StoreSettings | None = None,
    *,
    notify: Callable[[str], object] = notify,
    notifications_waiting: Callable[[], int] = notifications_waiting,
) -> FastAPI:
    """Create the app, which opens the store when it starts and closes it when it stops."""
    settings = settings or ApiSettings()

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = connect(
            settings, store or StoreSettings(), notify, notifications_waiting
        )
        counted.registry.register(StoreCollector(app.state.services))
        yield
        await run_in_threadpool(traces.flush)
        app.state.services.database.dispose()

    app = FastAPI(
        title="Distillery",
        version="1",  # of the API, as in /v1: the same document from any installation
        lifespan=live,
        docs_url=None,  # Swagger UI loads its scripts from another host
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    counted = metrics.HttpMetrics()
    app.add_middleware(SecurityMiddleware, hosts=settings.hosts())
    app.add_middleware(AccessLogMiddleware, metrics=counted)
    problems.install(app)
    v1 = APIRouter(prefix="/v1")
    for module in V1:
        v1.include_router(module.router)
    app.include_router(v1)
    openapi.install(app)
    docs.install(app)
    metrics.install(app, counted)
    app.router.default = dashboard(settings.web_dir)
    return app
