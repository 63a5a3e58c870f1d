"""Jobs: every function that reads or moves one, gathered from the files beside this one."""

from store.jobs.claim import Claim, beat, claim, claimable
from store.jobs.clock import rein_in_backoffs, rein_in_leases
from store.jobs.cost import Estimate, estimate
from store.jobs.finish import NewArtifact, fail, release, succeed
from store.jobs.query import Order, get, page
from store.jobs.request import request_cancel, request_pause, resume, retry
from store.jobs.submit import submit
from store.jobs.sweep import SweepReport, sweep
from store.jobs.waiting import Waiting, waiting_for

__all__ = [
    "Claim",
    "Estimate",
    "NewArtifact",
    "Order",
    "SweepReport",
    "Waiting",
    "beat",
    "claim",
    "claimable",
    "estimate",
    "fail",
    "get",
    "page",
    "rein_in_backoffs",
    "rein_in_leases",
    "release",
    "request_cancel",
    "request_pause",
    "resume",
    "retry",
    "submit",
    "succeed",
    "sweep",
    "waiting_for",
]
