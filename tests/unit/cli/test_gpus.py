"""Sizes and the machine's GPUs: one each, and never more GameServers than GPUs."""

from typing import Any

import pytest

from allocator.settings import Settings, load
from cli.compose import fleet_spec
from cli.gpus import fitted
from runtime.errors import UserError


def settings(*profiles: dict[str, Any]) -> Settings:
    named = [{"name": f"p{number}", "webui": "a1111", **profile} for number, profile in enumerate(profiles)]
    return load(environ={}, flags={"profiles": named})


def sizes(fitting: Settings) -> list[tuple[int, int]]:
    return [(profile.size, profile.warm) for profile in fitting.profiles]


@pytest.mark.parametrize(("gpus", "size"), [(1, 1), (2, 2), (4, 4), (8, 4)])
def test_the_default_size_is_the_number_of_gpus_and_at_most_four(gpus: int, size: int) -> None:
    assert sizes(fitted(settings({}), gpus)) == [(size, 1)]


def test_without_a_gpu_every_size_stands() -> None:
    assert sizes(fitted(settings({"size": 9}, {}), 0)) == [(9, 1), (4, 1)]


def test_a_webui_that_needs_no_gpu_counts_for_nothing() -> None:
    assert sizes(fitted(settings({"webui": "easel", "size": 50}, {}), 1)) == [(50, 1), (1, 1)]


def test_profiles_without_a_size_share_what_the_others_leave() -> None:
    assert sizes(fitted(settings({"size": 3}, {}, {"warm": 0}), 6)) == [(3, 1), (1, 1), (1, 0)]


@pytest.mark.parametrize(
    ("profiles", "gpus"),
    [
        ([{"size": 3}], 2),
        ([{"size": 1}, {"size": 2}], 2),
        ([{"size": 2}, {}], 2),
        ([{"warm": 3}], 2),
    ],
)
def test_more_webuis_than_gpus_are_refused(profiles: list[dict[str, Any]], gpus: int) -> None:
    with pytest.raises(UserError, match=f"Impossible size.*{gpus} of this machine.*at most {gpus}"):
        fitted(settings(*profiles), gpus)


def test_only_a_webui_that_needs_a_gpu_takes_one() -> None:
    both = settings({}, {"webui": "easel"})
    assert [fleet_spec(profile, both).gpu for profile in both.profiles] == [True, False]
