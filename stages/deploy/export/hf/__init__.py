"""A student of transformers as a folder that transformers loads by itself."""
