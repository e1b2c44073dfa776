"""Configuration and secrets, feature flags and service discovery for Python services."""
