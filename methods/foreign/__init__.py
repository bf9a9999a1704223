"""Methods from elsewhere: any module that maps LR to SR, and architectures that other libraries read from files."""

from methods.foreign.network import ForeignMethod

__all__ = ["ForeignMethod"]
