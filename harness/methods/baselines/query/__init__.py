"""Reference query strategies, one small file each."""
