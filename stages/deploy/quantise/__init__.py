"""Quantisation of a finished student's graphs after training: 8-bit weights, measured against their float parent."""
