"""Grids that nobody means well with: refused in one line, before they cost anything."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.grid import read_grid
from methods import build_network

METHODS = '[[methods]]\nname = "edsr"\n'
MANY = ", ".join(map(str, range(1, 1001)))


def refused(content: str | bytes, folder: Path) -> str:
    file = folder / "grid.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as mistake:
        read_grid(file)
    message = str(mistake.value)
    assert message.startswith(f"{file}: ")
    assert message.isprintable()
    assert len(message) < 1000
    return message


@pytest.mark.fault(
    area="Hostile input",
    what="a grid whose lists multiply to more tasks, or to a number of cells of thousands of digits",
    how="1,000 data sets times 1,000 seeds of hashes; a million passes; 20,000 settings of two values each",
    kept="nothing is made: one line with the product, the limit, and that a grid can be split",
)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"[trunk]\nn_feats = [{MANY}]\nn_resblocks = [{MANY}]\n", "the lists multiply to 1,000,000 cells"),
        (f"[evaluate]\nhash_seeds = [{MANY}]\ncrops = 0\ntiling = {['whole'] * 1000}\n", "multiply to 1,000,010 tasks"),
        ("[race]\nmeasure = true\npasses = 1000000\n", "multiply to 5,000,011 tasks; at most 1,000,000"),
        (f"[profile]\nsizes = {['24x24'] * 1000}\ncompile = {('[' + 'true,' * 2000 + ']')}\n", "2,001,003 tasks"),
        ("[trunk]\n" + "".join(f"k{i} = [1, 2]\n" for i in range(20_000)), "about 10^6021 cells; at most 100,000"),
    ],
)
def test_products_are_refused_before_anything_is_made(tmp_path: Path, text: str, told: str) -> None:
    message = refused(f'name = "vast"\n{METHODS}{text}', tmp_path)
    assert told in message
    assert "Split the longest list over several grids" in message


@pytest.mark.fault(
    area="Hostile input",
    what="a grid that would keep its reader busy or bring it down",
    how="keys of 20,000 parts, lists and tables 100,000 deep, numbers of 5,000 digits, 2 MB of seeds",
    kept="one line that says what is too much, in milliseconds",
)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (".".join(["a"] * 20_000) + " = 1", "a key of more than 16 parts: a.a.a"),
        ("[" + '."a b" . '.join(["a"] * 20_000) + "]", "a key of more than 16 parts"),
        ("x = " + "[" * 100_000, "more than 16 deep"),
        ("x = " + "{a = " * 100_000, "more than 16 deep"),
        ("x = " + "[" * 20 + "]" * 20, "x.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 is more than 16 deep"),
        ("seeds = " + "9" * 5_000, "limit (4300 digits)"),
        ("seeds = 0x" + "f" * 5_000, "seeds is a whole number of more than 64 bits"),
        ("seeds = [" + "1, " * 700_000 + "]", "a grid has at most 1,048,576 bytes; split it"),
        ("scale = '" + "y" * 100_000 + "'", "scale has 100,000 signs; at most 1,000 are read"),
        ("seeds = [" + "'x', " * 3_000 + "]", "seeds.0: Input should be a valid integer"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_too_much_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert told in refused(f'name = "much"\n{text}\n{METHODS}', tmp_path)


@pytest.mark.fault(
    area="Hostile input",
    what="a grid with values that no file of text should hold",
    how="control signs in names and keys, escape sequences of terminals, blank names, NaN, infinity, other encodings",
    kept="one line with the place of the value, in which the sign is spelt out",
)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('name = "a\\u001b[31mred"', r"name holds a sign that cannot be printed: 'a\x1b[31mred'"),
        ('name = "a\\nb"', r"name holds a sign that cannot be printed: 'a\nb'"),
        ('name = "a\\u0000b"', r"cannot be printed: 'a\x00b'"),
        ('name = "a\\u202eb"', r"cannot be printed: 'a\u202eb'"),
        ('name = "x"\n[trunk]\n"n\\u001b[2J" = 3', r"trunk.'n\x1b[2J' holds a sign that cannot be printed"),
        ('name = "x"\n[evaluate.at]\n"a\\tb" = [1, 2]', r"evaluate.at.'a\tb' holds a sign"),
        ('name = " "', "name is blank"),
        ('name = "x"\n[train]\nlearning_rate = nan', "train.learning_rate is no finite number"),
        ('name = "x"\n[limits]\ntask_s = inf', "limits.task_s is no finite number"),
        ('name = "x"\n[profile]\nwarm_up_s = -inf', "profile.warm_up_s is no finite number"),
        ('name = "x"\n[train]\nsteps = []', "train: steps needs at least one value"),
        ('name = "\\ud800"', "not a Unicode scalar value"),
        ('name = "é"'.encode("latin-1"), "'utf-8' codec can't decode"),
        ('name = "x"'.encode("utf-16"), "'utf-8' codec can't decode"),
        ("\ufeffname = 3", "Invalid statement"),
        ("name = 1979-99-99", "at line 1"),
    ],
)
def test_what_cannot_be_shown_or_computed_is_refused(tmp_path: Path, text: str | bytes, told: str) -> None:
    content = text.encode() if isinstance(text, str) else text
    assert told in refused(content + b"\n" + METHODS.encode(), tmp_path)


@pytest.mark.fault(
    area="Hostile input",
    what="a grid that is no file",
    how="a folder, a pipe, a device without an end, names of 300 letters and with a zero byte",
    kept="one line that names it and the grids that come along; nothing is waited for",
)
@pytest.mark.parametrize("name", ["folder", "pipe", "/dev/zero", "x" * 300, "a\0b", "loop", "../" * 2000])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError, match=re.escape(f"no grid at {tmp_path / name}")):
        read_grid(tmp_path / name)


@pytest.mark.fault(
    area="Hostile input",
    what="a network of a million blocks",
    how="`n_resblocks = 1000000`, `n_resgroups = 1000000` in a grid",
    kept="one line with the limit before anything is built",
)
@pytest.mark.parametrize(("method", "setting"), [("edsr", "n_resblocks"), ("dlsn", "n_resgroups")])
def test_networks_of_endless_depth_are_refused(method: str, setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} must be at most 1000, not 1000000"):
        build_network(method, 2, **{setting: 1_000_000})
