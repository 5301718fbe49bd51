"""Searches a folder of pictures by text or by picture, with a student of two towers."""
