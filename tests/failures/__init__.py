"""What went wrong elsewhere, as tests named after it; `index` lists where each is."""
