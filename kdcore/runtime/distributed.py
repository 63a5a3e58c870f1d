"""The processes that train one run together, as `torchrun` starts them; alone there is one.

The one place of kdcore that looks at the environment, for whether torchrun started this process;
all else that torchrun sets is read by torch.distributed itself. torch is imported only then.
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
    """This process among the `size` of its run; `local_rank`: on its host. Process 0, the primary,
    alone writes to the run directory."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    store: "Store | None" = None

    @property
    def primary(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def agree(self, asked: bool) -> bool:
        """Whether any process says so. Every process must ask, at the same step."""
        if self.size == 1:
            return asked
        import torch
        from torch import distributed

        flag = torch.tensor(int(asked))
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)

    def first(self, error: RunError) -> RunError:
        """What ended the run first, of all processes; this error if none was before it."""
        if self.store is None:
            return error
        said = json.dumps([self.rank, error.code, error.message, error.pointer])
        try:
            kept = self.store.compare_set(_FAILURE, "", said)
        except RuntimeError:  # whoever holds the store is gone
            return error
        rank, code, message, pointer = json.loads(kept)
        if rank != self.rank:
            message = f"process {rank}: {message}"
        return RunError(run_code(code), message, pointer=pointer)

    def leave(self) -> None:
        """Part from the others, after the last exchange with them."""
        if self.size > 1:
            from torch import distributed

            distributed.destroy_process_group()


ALONE = World()


def join() -> World:
    """Meet the other processes of this run, if torchrun started this one."""
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
