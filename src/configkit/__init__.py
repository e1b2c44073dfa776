"""configkit."""
