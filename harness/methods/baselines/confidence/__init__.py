"""Methods that come with the harness: submissions like any other, one small file each."""
