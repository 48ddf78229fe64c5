"""Files of any format -> slices; one reader a format, all with one signature."""
