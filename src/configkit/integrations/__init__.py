"""configkit in other people's frameworks: one thin file each, imported by who uses it."""
