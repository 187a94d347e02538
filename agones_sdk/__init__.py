"""An asyncio client of the Agones SDK, with the generated stubs."""
