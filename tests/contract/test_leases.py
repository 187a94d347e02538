"""Leases: a mutex by name, compare and swap, preconditions."""

import asyncio
from dataclasses import replace

import pytest

from fleet.base import AlreadyExists, Conflict, Lease, NotFound
from tests.contract.backend import Backend


async def test_create_gives_a_uid_and_a_version_and_keeps_the_rest(backend: Backend) -> None:
    wanted = Lease("alice", holder="a", renew_time=5.5, duration_seconds=15, labels={"k": "v"}, annotations={"a": "b c/ü"})
    lease = await backend.stores.leases.create(wanted)
    assert lease.uid
    assert lease.resource_version
    assert replace(lease, uid="", resource_version="", created_at=0.0) == wanted
    assert await backend.stores.leases.get("alice") == lease


async def test_of_many_that_create_the_same_name_one_succeeds(backend: Backend) -> None:
    def attempt(number: int) -> asyncio.Future[Lease]:
        return asyncio.ensure_future(backend.stores.leases.create(Lease("alice", annotations={"attempt": str(number)})))

    results = await asyncio.gather(*(attempt(number) for number in range(50)), return_exceptions=True)
    created = [result for result in results if isinstance(result, Lease)]
    assert len(created) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 49
    assert await backend.stores.leases.get("alice") == created[0]


async def test_of_two_updates_from_the_same_version_the_second_conflicts(backend: Backend) -> None:
    leases = backend.stores.leases
    lease = await leases.create(Lease("alice"))
    first = await leases.update(replace(lease, holder="a"))
    assert first.resource_version != lease.resource_version
    with pytest.raises(Conflict):
        await leases.update(replace(lease, holder="b"))
    assert await leases.get("alice") == first


async def test_an_update_of_an_earlier_lease_of_that_name_conflicts(backend: Backend) -> None:
    leases = backend.stores.leases
    old = await leases.create(Lease("alice"))
    await leases.delete(old)
    new = await leases.create(Lease("alice"))
    assert new.uid != old.uid
    with pytest.raises(Conflict):
        await leases.update(replace(new, uid=old.uid))
    with pytest.raises(Conflict):
        await leases.delete(old)
    assert await leases.get("alice") == new


async def test_a_delete_at_an_old_version_conflicts(backend: Backend) -> None:
    leases = backend.stores.leases
    old = await leases.create(Lease("alice"))
    new = await leases.update(replace(old, holder="a"))
    with pytest.raises(Conflict):
        await leases.delete(old)
    await leases.delete(new)
    with pytest.raises(NotFound):
        await leases.get("alice")


async def test_what_is_not_there_is_not_found(backend: Backend) -> None:
    ghost = Lease("ghost", uid="u", resource_version="1")
    with pytest.raises(NotFound):
        await backend.stores.leases.get("ghost")
    with pytest.raises(NotFound):
        await backend.stores.leases.update(ghost)
    with pytest.raises(NotFound):
        await backend.stores.leases.delete(ghost)


async def test_a_list_sees_every_write_that_was_answered_before_it(backend: Backend) -> None:
    leases = backend.stores.leases
    for number in range(20):
        lease = await leases.create(Lease(f"user-{number}"))
        assert lease in (await leases.list()).items


async def test_a_list_by_labels_needs_all_of_them(backend: Backend) -> None:
    leases = backend.stores.leases
    both = await leases.create(Lease("both", labels={"kind": "session", "team": "a"}))
    await leases.create(Lease("one", labels={"kind": "session"}))
    await leases.create(Lease("other", labels={"kind": "replica", "team": "a"}))
    assert (await leases.list({"kind": "session", "team": "a"})).items == (both,)
    assert {item.name for item in (await leases.list({"kind": "session"})).items} == {"both", "one"}
