"""What a study asks for and what it costs, recorded before anything is trained."""
