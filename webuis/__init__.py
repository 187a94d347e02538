"""One small description a WebUI: how it starts, is ready, is busy, where it writes."""
