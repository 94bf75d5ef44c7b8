"""What people look at: a neuron and tables in the terminal."""
