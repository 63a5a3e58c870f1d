"""Retention by hand: what was kept long enough goes now, or is counted."""

from typing import Annotated

from fastapi import APIRouter, Query

from distillery.api.auth import LOCAL_TENANT, Admin
from distillery.api.deps import Deps
from distillery.api.strict_json import StrictRoute
from distillery.store.ops.retention import Usage
from distillery.wire.retention import CollectedItems, RetentionReport

router = APIRouter(tags=["retention"], route_class=StrictRoute)
WITHIN_S = 20.0


@router.post("/gc", operation_id="collectGarbage")
def collect_garbage(
    caller: Admin,
    deps: Deps,
    dry_run: Annotated[bool, Query(description="Only count what would go.")] = False,
) -> RetentionReport:
    """Let go of what the settings (`KD_KEEP_...`) say, as the service does by itself every minute.

    Of the caller's tenant alone; for the default tenant, which is the operator's, of all tenants,
    with the bytes that nothing names any more.
    """
    tenant = None if caller.tenant == LOCAL_TENANT else caller.tenant
    if dry_run:
        return _view(deps.collector.count(tenant), dry_run=True, complete=True)
    gone, complete = deps.collector.collect(tenant, WITHIN_S)
    return _view(gone, dry_run=False, complete=complete)


def _view(found: list[Usage], *, dry_run: bool, complete: bool) -> RetentionReport:
    kinds = [
        CollectedItems(kind=each.kind, count=each.count, size_bytes=each.size) for each in found
    ]
    return RetentionReport(dry_run=dry_run, complete=complete, kinds=kinds)
