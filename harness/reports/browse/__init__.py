"""The failure browser: samples of one network in one picture, with what scores say of each, as one page."""
