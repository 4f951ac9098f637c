"""One script a peer: the loop or framework that handles, as its documentation tunes it. See `handling` for what."""
