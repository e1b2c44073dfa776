"""Feature flags: the model, bucketing, evaluation, and sets kept fresh."""
