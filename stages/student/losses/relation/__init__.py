"""Losses between relations: of the rows of a batch, of the tokens of a row, of image and text. Widths may differ."""
