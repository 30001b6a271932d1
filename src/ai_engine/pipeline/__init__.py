"""The road of a message: ingress, turn, delivery."""
