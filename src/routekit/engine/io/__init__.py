"""The port through which one core serves threads and event loops; the only room that knows asyncio."""
