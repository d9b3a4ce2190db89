"""One run: build, train, save, evaluate."""
