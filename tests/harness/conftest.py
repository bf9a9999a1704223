from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks are traced as for compiling, then run operation by operation: that needs no C++ compiler."""
    from harness import execution

    monkeypatch.setattr(execution, "COMPILER", {"backend": "aot_eager"})
    monkeypatch.setattr(execution, "compiler_missing", lambda _: None)
    execution.forget_compiled()
    yield
    execution.forget_compiled()
