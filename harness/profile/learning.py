"""What a training step leaves untouched: parameters that no gradient reaches, and buffers that it does not write."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from torch import Tensor, nn


class Learning:
    """Watches one training step of `module`; works on tensors that have shapes alone."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._reached: set[int] = set()

    def __enter__(self) -> Self:
        self._before = self._buffers()
        self._hooks = [p.register_post_accumulate_grad_hook(self._reach) for p in self._trainable()]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def idle_parameters(self) -> int:
        """How many trainable parameters got no gradient."""
        return sum(parameter.numel() for parameter in self._trainable() if id(parameter) not in self._reached)

    @property
    def moved_buffers(self) -> int:
        """How many elements the buffers have that were written to or replaced."""
        written = {name for name, state in self._buffers().items() if self._before.get(name) != state}
        return sum(buffer.numel() for name, buffer in self._module.named_buffers() if name in written)

    def _reach(self, parameter: Tensor) -> None:
        self._reached.add(id(parameter))

    def _trainable(self) -> list[nn.Parameter]:
        return [parameter for parameter in self._module.parameters() if parameter.requires_grad]

    def _buffers(self) -> dict[str, tuple[int, int]]:
        """The identity of each buffer, and how often it has been written to."""
        return {name: (id(buffer), buffer._version) for name, buffer in self._module.named_buffers()}  # noqa: SLF001 - PyTorch's own count
