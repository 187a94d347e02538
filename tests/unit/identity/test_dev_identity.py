import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.identity.base import Refused, User, user_key
from allocator.identity.dev import NAME, DevVerifier, require_loopback
from runtime.errors import UserError

SECRET = b"s" * 32


@pytest.fixture
def verifier() -> DevVerifier:
    return DevVerifier(SECRET)


@pytest.mark.parametrize("host", ["alice.localhost:8000", "ALICE.localhost", "alice.localhost:1"])
def test_the_first_label_of_localhost_is_the_user(verifier: DevVerifier, host: str) -> None:
    user = verifier.verify([], host, "127.0.0.1")
    assert (user.subject, user.key) == ("alice", user_key(SECRET, "dev", "alice"))


def test_a_script_names_its_user_in_a_header(verifier: DevVerifier) -> None:
    assert verifier.verify([(b"x-atelier-dev-user", b"bob")], "localhost:8000", "::1").subject == "bob"


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_plain_localhost_is_nobody_yet(verifier: DevVerifier, host: str) -> None:
    with pytest.raises(Refused) as refused:
        verifier.verify([], host, "127.0.0.1")
    assert (refused.value.page, refused.value.status) == ("sign-in", 401)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "alicelocalhost", "127.0.0.1.evil.example", ""]
)
def test_a_rebound_host_name_of_another_site_is_refused(verifier: DevVerifier, host: str) -> None:
    with pytest.raises(Refused):
        verifier.verify([(b"x-atelier-dev-user", b"alice")], host, "127.0.0.1")


@pytest.mark.parametrize("host", ["a.b.localhost", "-a.localhost", "a_b.localhost", "..localhost", "x" * 41 + ".localhost"])
def test_a_label_that_is_no_valid_user_is_refused_with_the_rule(verifier: DevVerifier, host: str) -> None:
    with pytest.raises(Refused, match="letters a-z, digits and hyphens"):
        verifier.verify([], host, "127.0.0.1")


def test_two_names_at_once_are_refused(verifier: DevVerifier) -> None:
    twice = [(b"x-atelier-dev-user", b"alice"), (b"x-atelier-dev-user", b"bob")]
    for headers, host in ((twice, "localhost"), (twice[:1], "bob.localhost")):
        with pytest.raises(Refused):
            verifier.verify(headers, host, "127.0.0.1")


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.168.1.2", "", "garbage"])
def test_another_machine_is_refused(verifier: DevVerifier, peer: str) -> None:
    with pytest.raises(Refused):
        verifier.verify([], "alice.localhost", peer)


@given(name=st.text(max_size=60))
def test_a_folder_can_only_be_named_by_a_key(name: str) -> None:
    try:
        user = DevVerifier(SECRET).verify(
            [(b"x-atelier-dev-user", name.encode("latin-1", "replace"))], "localhost", "127.0.0.1"
        )
    except Refused:
        return
    assert NAME.fullmatch(user.subject)
    assert len(user.key) == 41
    assert user.key[1:].isalnum()


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_no_two_identities_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (user_key(SECRET, *one) == user_key(SECRET, *other)) == (one == other)


def test_a_user_survives_the_way_to_the_pages() -> None:
    user = User("dev", "älice", "a@localhost", "u" + "0" * 40)
    assert User.decode(user.encode().decode()) == user


@pytest.mark.parametrize("address", ["0.0.0.0:8000", "[::]:8000", "192.168.1.2:80", "example.org:80"])
def test_dev_mode_is_refused_on_a_listener_that_others_reach(address: str) -> None:
    with pytest.raises(UserError, match="reachable"):
        require_loopback(["localhost:8000", address])


def test_dev_mode_takes_every_loopback_listener() -> None:
    require_loopback(["localhost:8000", "127.0.0.1:1", "[::1]:8000", "127.0.0.9:3"])
