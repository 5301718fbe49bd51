"""What models are worth on held-out samples: one read for all, their answers, and the figures that come of them."""
