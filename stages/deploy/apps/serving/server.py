"""POST /predict with a picture as it is, or JSON; GET /health. Connections have threads of their own, and the predictor
makes batches of what waits, so a busy server is faster a picture and an idle one answers at once.

503 when more wait than it may hold, beside the statuses of every handler here.
"""

import base64
import binascii
import json
import threading
from typing import Any, ClassVar

import numpy as np

from ...predict import Predictor
from ...predict.classes import likeliest
from ..http.handler import Handler, Refused, Server, number_of

_MOST_CLASSES = 1000


class PredictHandler(Handler):
    """Answers for one predictor; `room` counts the requests that may be under way."""

    predictor: ClassVar[Predictor]
    room: ClassVar[threading.BoundedSemaphore]

    def health(self) -> None:
        model = self.predictor.model
        self.send_json({"model": model.place, "inputs": {name: one.kind for name, one in model.readings.items()}})

    def predict(self) -> None:
        if not self.room.acquire(blocking=False):
            raise Refused(503, "too many requests are waiting; try again in a moment")
        try:
            top = number_of(self.query(), "top", 3, _MOST_CLASSES)
            self.send_json(self._said(self.predictor.predict(self._item()), top))
        finally:
            self.room.release()

    def _item(self) -> object:
        """A picture of its own, or the parts of a JSON object."""
        body = self.body()
        if self.headers.get_content_type() != "application/json":
            return {"image": body}
        try:
            content = json.loads(body)
        except ValueError as error:
            raise Refused(400, f"the body is no JSON ({error})") from error
        if not isinstance(content, dict) or not content:
            raise Refused(400, 'JSON is an object such as {"text": "red apple"}, or {"image": base64}')
        return {name: self._part(name, value) for name, value in content.items()}

    def _part(self, name: str, value: Any) -> object:
        reading = self.predictor.model.readings.get(name)
        kind = name if reading is None else reading.kind
        if kind == "text" and isinstance(value, str):
            return value
        if kind == "array" and isinstance(value, list):
            return _array(name, value)
        if kind != "image" or not isinstance(value, str):
            raise Refused(400, f"{name!r} cannot be read: texts are strings, pictures base64, arrays lists of numbers")
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise Refused(400, f"{name!r} is no base64 ({error})") from error

    def _said(self, said: dict[str, np.ndarray], top: int) -> dict[str, Any]:
        found: dict[str, Any] = {"outputs": {name: values.tolist() for name, values in said.items()}}
        if said.get("logits", np.zeros(())).ndim == 1:
            rows = likeliest(said["logits"], self.predictor.model.classes, top)
            found["classes"] = [{"number": x.number, "name": x.name, "probability": x.probability} for x in rows]
        return found


PredictHandler.routes = {("GET", "/health"): PredictHandler.health, ("POST", "/predict"): PredictHandler.predict}


def predict_server(predictor: Predictor, host: str, port: int, most_bytes: int, most_waiting: int = 256) -> Server:
    """A server that stands and does not answer yet; port 0 takes a free one."""
    room = threading.BoundedSemaphore(most_waiting)
    bound = {"predictor": predictor, "room": room, "most_bytes": most_bytes}
    return Server((host, port), type("BoundPredictHandler", (PredictHandler,), bound))


def _array(name: str, value: list[Any]) -> np.ndarray:
    try:
        array = np.asarray(value, np.float32)
    except (ValueError, TypeError) as error:
        raise Refused(400, f"{name!r} is no array of numbers ({error})") from error
    return array
