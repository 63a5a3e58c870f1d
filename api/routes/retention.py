"""Deletes expired data on request, or counts it."""

from typing import Annotated

from fastapi import APIRouter, Query

from distillery.api.auth import Admin
from distillery.api.deps import Deps
from distillery.api.strict_json import StrictRoute
from distillery.store.keys import DEFAULT_TENANT
from distillery.store.ops.retention import Usage
from distillery.wire.retention import CollectedItems, RetentionReport

router = APIRouter(tags=["retention"], route_class=StrictRoute)
WITHIN_S = 20.0


@router.post("/gc", operation_id="collectGarbage")
def collect_garbage(
    caller: Admin,
    deps: Deps,
    dry_run: Annotated[bool, Query(description="Only count what would be deleted.")] = False,
) -> RetentionReport:
    """Delete data whose retention period (`KD_KEEP_...`) has expired, of the caller's tenant.

    For the default tenant, which is the operator's, that is of all tenants, and unreferenced blobs.
    The service does the same by itself every minute.
    """
    tenant = None if caller.tenant == DEFAULT_TENANT else caller.tenant
    if dry_run:
        return _view(deps.collector.count(tenant), dry_run=True, complete=True)
    deleted, complete = deps.collector.collect(tenant, WITHIN_S)
    return _view(deleted, dry_run=False, complete=complete)


def _view(usages: list[Usage], *, dry_run: bool, complete: bool) -> RetentionReport:
    kinds = [
        CollectedItems(kind=each.kind, count=each.count, size_bytes=each.size) for each in usages
    ]
    return RetentionReport(dry_run=dry_run, complete=complete, kinds=kinds)
