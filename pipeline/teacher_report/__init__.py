"""The report on a teacher: what its cache and the labels say, as one page, as JSON, and a list of suspected labels."""
