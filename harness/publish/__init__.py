"""What goes out: data sets, boards and packs on the Hugging Face Hub, with their cards and descriptions."""
