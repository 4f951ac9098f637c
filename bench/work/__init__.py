"""What a handled record costs, beside the other ways to handle records in Python."""
