"""The REST API and the event stream under `/_atelier/api/`."""
