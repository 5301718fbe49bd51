"""A student that becomes smaller while it trains: which channels, heads and units go, when, and what is left."""
