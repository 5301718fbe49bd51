"""Signals that leave a client clipped and noised: its secret key, the noise, and what an accountant says of it."""
