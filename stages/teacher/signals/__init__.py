"""From what was heard to what is written: schemas, soundness, encoding, constants."""
