from reports.counterparts import Network, became, counterparts, network


def nlsn(label: str, rounds: int, **spec: object) -> Network:
    return network(label, {"method": "nlsn", "scale": 2, "settings": {"n_hashes": rounds}, **spec})


def test_the_same_network_comes_before_the_same_label() -> None:
    before = {0: nlsn("NLSN", 4), 1: nlsn("NLSN slow", 8)}
    after = {"a": nlsn("NLSN", 8), "b": nlsn("NLSN fast", 4), "c": nlsn("NLSN slow", 2)}
    assert counterparts(before, after) == {0: "b", 1: "a"}


def test_of_two_that_are_the_same_the_label_decides() -> None:
    after = {"a": nlsn("other", 4), "b": nlsn("NLSN", 4)}
    assert counterparts({0: nlsn("NLSN", 4)}, after) == {0: "b"}


def test_labels_of_another_scale_are_no_counterpart() -> None:
    assert counterparts({0: nlsn("NLSN", 4)}, {"a": nlsn("NLSN", 2, scale=3)}) == {}
    assert counterparts({0: nlsn("NLSN", 4)}, {"a": nlsn("NLSN", 2)}) == {0: "a"}


def test_files_are_known_by_content_and_training_by_all_of_it() -> None:
    one, moved, other = (
        nlsn("NLSN", 4, weights={"file": file, "sha256": content})
        for file, content in (("a", "1"), ("b", "1"), ("a", "2"))
    )
    assert became(one, moved) == ""
    assert became(one, other) == "other weights"
    short, long = (nlsn("NLSN", 4, train={"steps": steps, "batch": 8}) for steps in (100, 200))
    assert became(short, long) == "train.steps 100 → 200"


def test_many_differences_are_not_all_told() -> None:
    settings = [{"a": 1, "b": 1, "c": 1, "d": 1}, {"a": 2, "b": 2, "c": 2, "d": 2}]
    first, second = (network("n", {"method": "nlsn", "settings": each}) for each in settings)
    assert became(first, second) == "a 1 → 2, b 1 → 2, c 1 → 2, …"
