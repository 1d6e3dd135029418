"""Several processes that train one model together: each takes its part of every batch (data parallel).

    torchrun --nproc-per-node 2 -m workshop train vampnet codec ...

One process a core with one thread each: small convolutions gain little from threads that wait for one
another after every layer; processes meet once a step. Without torchrun there is one worker, and every
function here leaves things as they are.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist


@contextlib.contextmanager
def started() -> Iterator[None]:
    """Join the other workers if torchrun started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many workers there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this one measures, writes and speaks for all."""
    return not dist.is_initialized() or dist.get_rank() == 0


def part(batch: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """This worker's items of a batch: every n-th."""
    return batch[dist.get_rank() :: count()] if count() > 1 else batch


def whole(values: Tensor, n: int) -> Tensor:
    """The n values of a batch of which every worker has its part, (part,): the reverse of `part`."""
    if count() == 1:
        return values
    together = torch.zeros(n, dtype=values.dtype)
    together[dist.get_rank() :: count()] = values.cpu()
    dist.all_reduce(together)
    return together


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by its mean over the workers, as if one had seen the whole batch."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if count() == 1 or not gradients:
        return
    together = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(together)
    together /= count()
    for gradient, mean in zip(gradients, together.split([gradient.numel() for gradient in gradients])):
        gradient.copy_(mean.view_as(gradient))


def share_weights(module: torch.nn.Module) -> None:
    """Give every worker the first one's weights."""
    if count() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)


def agree(first: float, anyone: bool) -> tuple[float, bool]:
    """The first worker's number, and whether the flag is set for any of them."""
    if count() == 1:
        return first, anyone
    number, flag = torch.tensor(first, dtype=torch.float64), torch.tensor(int(anyone))
    dist.broadcast(number, 0)
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return number.item(), bool(flag)


def wait_for_all() -> None:
    """Go on when every worker has come this far."""
    if count() > 1:
        dist.barrier()
