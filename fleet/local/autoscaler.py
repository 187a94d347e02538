"""Asks how many GameServers a Fleet should have, as Agones' FleetAutoscaler of type Webhook does."""

import asyncio
import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Never
from urllib.parse import urlsplit

from fleet.local.controller import Controller, FleetStatus
from runtime import http
from runtime.clock import Clock, until

log = logging.getLogger(__name__)
SYNC_SECONDS = 1.0
LEAST_SECONDS = 0.1
"""Between two reviews of a Fleet, however often it is asked for one."""
CALL_SECONDS = 5.0
MAX_REPLICAS = 1000


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to ask: the Fleet's name is appended to `url` (http). `token_file` holds the bearer token."""

    url: str
    token_file: Path


def review(uid: str, fleet: str, status: FleetStatus) -> dict[str, object]:
    """A FleetAutoscaleReview (pkg/apis/autoscaling/v1 of Agones) that asks."""
    counts = {
        "replicas": status.replicas,
        "readyReplicas": status.ready,
        "reservedReplicas": status.reserved,
        "allocatedReplicas": status.allocated,
    }
    return {"request": {"uid": uid, "name": fleet, "namespace": "default", "status": counts}, "response": None}


def answer(body: object, uid: str, asked_with: FleetStatus) -> int:
    """The replicas that an answered review asks for. Raises `ValueError` when it is none.

    `scale: false` means the number that the review said, as in Agones: it is right as it is.
    """
    response = body.get("response") if isinstance(body, Mapping) else None
    if not isinstance(response, Mapping) or response.get("uid") != uid:
        raise ValueError("it has no response to this review")
    scale, replicas = response.get("scale"), response.get("replicas")
    if scale is False:
        return asked_with.replicas
    if scale is not True or type(replicas) is not int or not 0 <= replicas <= MAX_REPLICAS:
        raise ValueError(f"scale {scale!r} to {replicas!r} replicas makes no sense")
    return replicas


class Autoscaler:
    """`run` asks for every Fleet, each on its own. What is not a proper answer changes nothing."""

    def __init__(self, webhook: Webhook, fleets: Iterable[str], controller: Controller, clock: Clock) -> None:
        self._webhook = webhook
        self._fleets = tuple(fleets)
        self._controller = controller
        self._clock = clock
        self._asked = {fleet: asyncio.Event() for fleet in self._fleets}
        self.problems: dict[str, str] = {}
        """By Fleet: why its last review had no effect; absent when it had."""

    def ask_now(self, fleet: str) -> None:
        """Ask for that Fleet as soon as may be."""
        if fleet in self._asked:
            self._asked[fleet].set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for fleet in self._fleets:
                group.create_task(self._sync(fleet))

    async def _sync(self, fleet: str) -> Never:
        while True:
            self._asked[fleet].clear()
            try:
                replicas = await self._ask(fleet)
            except (http.HttpError, OSError, ValueError) as error:
                self._problem(fleet, str(error))
            else:
                self.problems.pop(fleet, None)
                self._controller.set_replicas(fleet, replicas)
            await self._clock.sleep(LEAST_SECONDS)
            await until(self._asked[fleet], self._clock, SYNC_SECONDS - LEAST_SECONDS)

    async def _ask(self, fleet: str) -> int:
        """Raises `HttpError`, `OSError` (no token), `ValueError` (no sense in the answer)."""
        uid = str(uuid.uuid4())
        token = (await asyncio.to_thread(self._webhook.token_file.read_text)).strip()
        status = self._controller.status(fleet)
        url = urlsplit(self._webhook.url)
        reply = await http.call(
            url.hostname or "",
            url.port or 80,
            "POST",
            f"{url.path.rstrip('/')}/{fleet}",
            payload=review(uid, fleet, status),
            headers={"Authorization": f"Bearer {token}"},
            timeout=CALL_SECONDS,
        )
        if reply.status != 200:
            raise ValueError(f"status {reply.status}")
        return answer(reply.json(), uid, status)

    def _problem(self, fleet: str, why: str) -> None:
        if self.problems.get(fleet) != why:
            log.debug("fleet %s is left as it is: %s", fleet, why)
        self.problems[fleet] = why
