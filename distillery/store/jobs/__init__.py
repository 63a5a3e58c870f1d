"""Jobs: re-exports the functions that read or move one."""

from distillery.store.jobs.claim import Claim, claim, claimable, renew_lease
from distillery.store.jobs.clock import clamp_backoffs, clamp_leases
from distillery.store.jobs.cost import Estimate, estimate
from distillery.store.jobs.finish import NewArtifact, fail, release, succeed
from distillery.store.jobs.query import Order, get, page
from distillery.store.jobs.reaper import ReaperReport, reap
from distillery.store.jobs.request import request_cancel, request_pause, resume, retry
from distillery.store.jobs.submit import submit
from distillery.store.jobs.waiting import Waiting, waiting_for

__all__ = [
    "Claim",
    "Estimate",
    "NewArtifact",
    "Order",
    "ReaperReport",
    "Waiting",
    "claim",
    "claimable",
    "clamp_backoffs",
    "clamp_leases",
    "estimate",
    "fail",
    "get",
    "page",
    "reap",
    "release",
    "renew_lease",
    "request_cancel",
    "request_pause",
    "resume",
    "retry",
    "submit",
    "succeed",
    "waiting_for",
]
