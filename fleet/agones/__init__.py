"""GameServers on Agones, Leases on Kubernetes: the contract of `fleet.base` with the API server as its only memory."""
