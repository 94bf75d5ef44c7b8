"""The datasets that GLUScope's authors publish: their schema, its checks, our tables in it."""
