"""Small students that are built in: plain torch, seeded, and blind to padding."""
