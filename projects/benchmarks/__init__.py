"""How fast things are, measured so that somebody else can measure them again."""
