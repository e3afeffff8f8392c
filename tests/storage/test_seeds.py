"""Seeds that are made of names."""

import hashlib

from harness.storage import seed_of


def test_a_seed_is_the_first_32_bits_of_the_hash():
    digest = hashlib.sha256(b'[0,"model","fit"]').digest()
    assert seed_of([0, "model", "fit"]) == int.from_bytes(digest[:4], "big")
