"""How good a teacher is, from its cache and the labels alone: no model is loaded, nothing is trained."""
