"""``lightning report``: run folders, what they have in common, and one HTML page of them."""
