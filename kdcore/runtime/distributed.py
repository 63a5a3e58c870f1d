"""Joins the processes that train one run together, started by `torchrun`; usually just one.

The only place in kdcore that reads the environment, to see whether torchrun started this process;
torch.distributed itself reads the rest of what torchrun sets. torch is imported only then.
"""

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdcore.runtime.errors import RunError
from kdcore.spec.spec_codes import run_code

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

STARTED_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"
_FAILURE = "failure"


@dataclass(frozen=True)
class World:
    """This process among the `size` processes of its run; `local_rank`: its number on its host.

    Only the primary, process 0, writes to the run directory.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    store: "Store | None" = None

    @property
    def primary(self) -> bool:
        """Whether this process writes to the run directory."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process. Every process must call this at the same step."""
        if self.size == 1:
            return flag
        import torch
        from torch import distributed

        flags = torch.tensor(int(flag))
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags)

    def first_error(self, error: RunError) -> RunError:
        """The error that ended the run first, in any process: this one, unless one preceded it."""
        if self.store is None:
            return error
        own = json.dumps([self.rank, error.code, error.message, error.pointer])
        try:
            first = self.store.compare_set(_FAILURE, "", own)
        except RuntimeError:  # the process that holds the store is gone
            return error
        rank, code, message, pointer = json.loads(first)
        if rank != self.rank:
            message = f"process {rank}: {message}"
        return RunError(run_code(code), message, pointer=pointer)

    def leave(self) -> None:
        """Leave the group after the last exchange with the other processes."""
        if self.size > 1:
            from torch import distributed

            distributed.destroy_process_group()


ALONE = World()


def join() -> World:
    """Join the other processes of this run, if torchrun started this one."""
    if STARTED_BY_TORCHRUN not in os.environ:
        return ALONE
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    store, rank, size = next(iter(rendezvous("env://")))
    if size == 1:
        return ALONE
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    return World(rank, size, distributed.get_node_local_rank(rank), store)
