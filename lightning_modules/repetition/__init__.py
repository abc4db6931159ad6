"""Parts of repetition counting: which frames are looked at, what is learnt of them, and how a count comes of it."""
