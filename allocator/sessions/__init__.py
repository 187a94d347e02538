"""A session is one user's hold on a WebUI, from the first click to the release. It lives in a Lease."""
