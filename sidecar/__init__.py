"""Tells Agones that the WebUI is ready and healthy, and tells the session whether it is busy."""
