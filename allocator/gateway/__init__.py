"""The data plane: carries browsers' HTTP/1.1 and WebSockets to the user's WebUI, and `/_atelier/` to the pages.

Without I/O: `heads` and `framing` read messages, `rules` decides what becomes of a request, `outgoing`, `answers` and
`relay` write what is sent on, `websocket` knows frames. With it: `client` and `upstream` are the two kinds of connections,
`exchange` and `splice` join one of each, `server` is all of it. `context` and `counters` are what they share.
"""
