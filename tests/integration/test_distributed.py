"""Two real processes over gloo: gradients are those of all windows together, and every process takes other windows."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
import torch

from export import devices, distributed
from export.distributed import ALONE, Group
from export.models import registered
from export.models.detector import Detector
from export.models.family import Shape
from tests.harness.broker import free_port
from tests.harness.training import normal


def model() -> Detector:
    torch.manual_seed(0)
    built = registered("conv-autoencoder").new(Shape(2, 16, 1.0), {"noise": 0.0})
    built.fit_input(windows())
    return built.train()


def windows() -> torch.Tensor:
    return torch.from_numpy(normal(2, 16, n=40).values)


def gradients(trained: Detector, mine: torch.Tensor, group: Group) -> dict[str, torch.Tensor]:
    step = devices.Compute(group=group).loss_of(trained)
    step(mine, torch.zeros(len(mine), dtype=torch.int64)).backward()
    return {name: parameter.grad for name, parameter in trained.named_parameters()}


def one_of_two(rank: int, port: int, folder: Path) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    with distributed.joined(cuda=False) as group:
        mine = group.share(torch.arange(40))
        found = {
            "mine": mine,
            "gradients": gradients(model(), windows()[mine], group),
            "total": group.total(torch.tensor([rank + 1.0])),
            "writes": torch.tensor(group.writes),
        }
    torch.save(found, folder / f"{rank}.pt")


def test_gradients_of_two_processes_are_those_of_one_with_all_windows(tmp_path: Path) -> None:
    port = free_port()
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=one_of_two, args=(rank, port, tmp_path)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(250)
    assert [process.exitcode for process in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert sorted([*first["mine"].tolist(), *second["mine"].tolist()]) == list(range(40))
    whole = gradients(model(), windows(), ALONE)
    for name, gradient in whole.items():
        assert torch.equal(first["gradients"][name], second["gradients"][name])
        torch.testing.assert_close(
            first["gradients"][name], gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max())
        )
    assert first["total"].item() == second["total"].item() == 3
    assert (bool(first["writes"]), bool(second["writes"])) == (True, False)


@pytest.mark.parametrize(("n", "size"), [(10, 1), (10, 3), (9, 3), (2, 2)])
def test_every_process_gets_as_many_windows_and_none_twice(n: int, size: int) -> None:
    shares = [Group(rank, size).share(torch.arange(n)).tolist() for rank in range(size)]
    assert {len(share) for share in shares} == {n // size}
    assert len({index for share in shares for index in share}) == n // size * size
