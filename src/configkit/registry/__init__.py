"""Services: registration, discovery, balancing and health."""
