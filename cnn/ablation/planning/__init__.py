"""What a study asks for, what it costs, and what it can resolve, before anything is trained."""
