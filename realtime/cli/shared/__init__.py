"""What more than one command uses."""
