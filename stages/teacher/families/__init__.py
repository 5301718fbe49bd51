"""Kinds of teachers: how each is loaded, called and heard, one family a file, behind one Protocol."""
