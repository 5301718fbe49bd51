"""Answers over HTTP on this machine by the standard library: threads, limits, a status for each way of being wrong."""
