"""Where INT8 loses: layers by what they cost, and where engines part."""
