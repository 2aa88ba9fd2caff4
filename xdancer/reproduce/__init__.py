"""Tables of paired studies: every row trained from several seeds, measured on the same held-out songs (`xdancer reproduce`)."""
