"""Attribution: XAI methods asked for maps of small and large networks, in three modalities."""
