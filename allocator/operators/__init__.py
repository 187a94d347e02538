"""The operators' listener: readiness, metrics, and the REST calls behind `atelier status` and `atelier release`."""
