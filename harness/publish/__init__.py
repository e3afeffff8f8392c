"""What leaves this machine for others: repositories on the Hugging Face Hub."""
