"""A GPU is found by its UUID where PyTorch tells one, by its number elsewhere."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from harness.nvml import handle

NVML = SimpleNamespace(
    nvmlInit=lambda: None,
    nvmlDeviceGetHandleByIndex=lambda index: ("index", index),
    nvmlDeviceGetHandleByUUID=lambda uuid: ("uuid", uuid),
)


def test_a_gpu_behind_a_mask_is_found_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    uuids = {0: "aa-bb", 1: "cc-dd"}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index]))
    assert handle(NVML, "cuda:1") == ("uuid", "GPU-cc-dd")
    assert handle(NVML, "cuda") == ("uuid", "GPU-aa-bb")


def test_without_a_uuid_its_number_must_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(name="old"))
    assert handle(NVML, "cuda:3") == ("index", 3)
