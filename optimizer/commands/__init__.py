"""The commands of `optimize`, by what they are about; `optimizer.cli` puts them together."""
