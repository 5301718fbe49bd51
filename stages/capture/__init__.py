"""Hearing named points of a torch module. Shared by teachers and students, and knows neither."""

from .describe import describe_points, evaluating
from .listen import Listener, listen
from .points import Point, parse_point

__all__ = ["Listener", "Point", "describe_points", "evaluating", "listen", "parse_point"]
