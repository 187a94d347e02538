"""The one module that touches the `kubernetes` package: where the API server is, who we are, and one request to it.

Of the package's asyncio half it takes the configuration (kubeconfig, exec plugins, a pod's service account with its
rotated token) and the request. Its models are not used, nor its watch, which opens itself anew where we must know that
it broke (docs/decisions/0009).
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from yaml import YAMLError

from fleet.base import Refused, Uncertain
from runtime.errors import UserError

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
_NEVER_TWICE = ("PUT", "DELETE")
_IN_POD = "KUBERNETES_SERVICE_HOST"
_SHAPELESS = (AttributeError, KeyError, TypeError, ValueError)
"""What the package raises for a file that is YAML but no kubeconfig: it trusts its shape."""


@dataclass(frozen=True, slots=True)
class Access:
    """How the API server is reached. Without a kubeconfig: `$KUBECONFIG`, then a pod's own, then `~/.kube/config`."""

    kubeconfig: str | None = None
    context: str | None = None
    server: str | None = None
    """Instead of the address that the configuration names."""


class Transport:
    """Requests as this process's identity, over one connection pool."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object = None,
        *,
        content_type: str = JSON,
        silence_seconds: float | None = None,
    ) -> aiohttp.ClientResponse:
        """The reply, its head read; the caller reads or releases the rest. Sent once, whatever happens.

        Raises `Refused`, `Uncertain`, `aiohttp.ClientError`, `OSError`, `TimeoutError`.
        """
        try:
            verb, url, headers, content, _ = await self._client.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params={"Accept": JSON, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
        except ConfigException as error:
            raise Refused(f"the service account's token cannot be read: {error}") from error
        timeout = aiohttp.ClientTimeout(total=None, sock_read=silence_seconds)
        reply = await self._client.rest_client.request(verb, url, headers=headers, body=content, _request_timeout=timeout)
        return cast("aiohttp.ClientResponse", reply.response)


@asynccontextmanager
async def transport(access: Access) -> AsyncIterator[Transport]:
    """Connects on the first request. Raises `UserError` when the configuration names no cluster."""
    try:
        client = ApiClient(await _configuration(access))
    except (ConfigException, YAMLError, OSError, *_SHAPELESS) as error:
        raise UserError(
            f"The cluster's configuration cannot be used: {' '.join(str(error).split()) or type(error).__name__}.",
            "Name the right file in KUBECONFIG, and one of its contexts (kubectl config get-contexts).",
        ) from error
    async with client:
        client.user_agent = "atelier"
        yield Transport(client)


async def _configuration(access: Access) -> Configuration:
    configuration = Configuration()
    configuration.client_session_kwargs = {"middlewares": (_once,)}
    kubeconfig = access.kubeconfig or os.environ.get("KUBECONFIG")
    if kubeconfig is None and access.context is None and _IN_POD in os.environ:
        load_incluster_config(client_configuration=configuration)
    else:
        await load_kube_config(kubeconfig, access.context, client_configuration=configuration, persist_config=False)
    if access.server is not None:
        configuration.host = access.server
    return configuration


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp repeats a PUT or DELETE when a kept connection breaks: a second one would conflict with the first."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if request.method not in _NEVER_TWICE:
            raise
        raise Uncertain(f"{request.method} {request.url.path}: {error!r}") from error
