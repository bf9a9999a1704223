"""The user's mistakes, told in one message; the command line turns them into exit code 2."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user asked for that cannot be: the message says what, what exists, and the nearest match."""
