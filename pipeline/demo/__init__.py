"""The built-in model and corpus: what `gatescope run` works on when it is given nothing."""
