"""Generated from `proto/` by `python -m agones_sdk.generate`; not to be edited."""
