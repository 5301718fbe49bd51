"""What students see: images, texts and arrays of the source, made once a shard and gathered for every batch."""
