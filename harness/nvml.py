"""Which of NVML's GPUs is a device of PyTorch: they count differently where `CUDA_VISIBLE_DEVICES` hides some."""

from __future__ import annotations

from typing import Any

import torch


def handle(nvml: Any, device: str) -> Any:
    """NVML's handle of `device` such as "cuda:1", found by its UUID where PyTorch tells one; `nvml` is the module.

    Raises:
        NVMLError: NVML does not answer, or knows no such GPU.
    """
    nvml.nvmlInit()
    index = torch.device(device).index or 0
    uuid = _uuid(index)
    return nvml.nvmlDeviceGetHandleByIndex(index) if uuid is None else nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")


def _uuid(index: int) -> str | None:
    try:
        return str(torch.cuda.get_device_properties(index).uuid)
    except (AttributeError, AssertionError, RuntimeError):
        return None
