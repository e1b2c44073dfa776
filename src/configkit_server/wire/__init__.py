"""What goes over the wire: the models that validate requests and document answers."""
