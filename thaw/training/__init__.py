"""One run: build, train, save, score."""
